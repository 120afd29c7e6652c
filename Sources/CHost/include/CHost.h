// What a fully static executable must do about its host, and what Berth takes from OpenSSL beside TLS.

#ifndef CHOST_H
#define CHOST_H

#include <stddef.h>

/// Makes libc and OpenSSL independent of the host's configuration. Call it first in main, before curl_global_init and
/// before another thread exists. Calling it again does no harm.
///
/// - Names are looked up in /etc/hosts and by DNS, users, groups and services in their files, whatever
///   /etc/nsswitch.conf says. A static glibc would otherwise load the host's NSS modules, which abort it when they were
///   built for another glibc. With another libc this part does nothing.
/// - OpenSSL reads no openssl.cnf and runs nothing at exit.
void chost_initialise(void);

/// Writes the SHA-256 (FIPS 180-4) of `length` bytes at `data` to `digest`. `data` may be NULL when `length` is 0.
/// Aborts when OpenSSL cannot compute it, which happens only when memory has run out.
void chost_sha256(const void *data, size_t length, unsigned char digest[32]);

/// Whether an address is one of this machine's own, in the network namespace of the process: asks the kernel's routing
/// table (RTM_GETROUTE, type RTN_LOCAL), whatever the number of interfaces. `address` has 4 bytes for IPv4 and 16 for
/// IPv6, in network order. Returns 1 or 0, and -1 when the kernel could not be asked (errno tells why).
int chost_is_local_address(const unsigned char *address, size_t length);

/// Whether a path is in a file system of processes (procfs), whose links lead where no path does. Returns 1 or 0, and -1
/// when it cannot be examined (errno tells why).
int chost_is_proc(const char *path);

/// Lets all threads of the process share so many heaps. glibc otherwise gives threads heaps of their own, and what one
/// of them has freed stays with it. To be called before there are threads; nothing where libc is not glibc.
void chost_limit_heaps(int count);

/// Gives the system back what was freed.
void chost_trim_heap(void);

#endif
