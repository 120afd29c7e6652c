// Definitions for the symbols in absent.h, so that a static link with Debian's libcurl.a closes. No https request
// reaches those that abort: reaching one is a bug here, and its name on stderr says which.

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void called(const char *name) {
    static const char before[] = "libcurl called a function that this executable was linked without: ";
    (void)!write(STDERR_FILENO, before, sizeof before - 1);
    (void)!write(STDERR_FILENO, name, strlen(name));
    (void)!write(STDERR_FILENO, "\n", 1);
    abort();
}

// The true signatures do not matter: no argument is read, and every answer is an integer or a null pointer.
#define ABORTS(name) \
    void name(void); \
    void name(void) { called(#name); }
#define RETURNS(name, value) \
    long name(void); \
    long name(void) { return value; }
#define VARIABLE(name) \
    extern void *name; \
    void *name = NULL;

#include "absent.h"
