#include "CHost.h"

#include <linux/magic.h>
#include <sys/vfs.h>

int chost_is_proc(const char *path) {
    struct statfs status;
    if (statfs(path, &status) != 0) return -1;
    return (unsigned long)status.f_type == PROC_SUPER_MAGIC;
}
