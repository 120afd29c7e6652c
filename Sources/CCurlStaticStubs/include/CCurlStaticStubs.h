// Nothing to call: this target only defines symbols for the static link. See stubs.c.
