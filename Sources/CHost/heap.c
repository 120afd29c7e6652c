#include "CHost.h"

#include <stdlib.h>  // also defines __GLIBC__ where libc is glibc

#ifdef __GLIBC__
#include <malloc.h>
#endif

void chost_limit_heaps(int count) {
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, count);
#else
    (void)count;
#endif
}

void chost_trim_heap(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
