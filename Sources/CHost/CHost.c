#include "CHost.h"

#include <stdlib.h>  // also defines __GLIBC__ where libc is glibc

#include <openssl/crypto.h>
#include <openssl/evp.h>

#ifdef __GLIBC__
#include <nss.h>
#endif

void chost_initialise(void) {
#ifdef __GLIBC__
    // The four that getaddrinfo, getpwuid and libcurl can reach. Both modules are part of glibc's own archive.
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
    __nss_configure_lookup("group", "files");
    __nss_configure_lookup("services", "files");
#endif
    // The first call decides these two for the process; curl_global_init, which asks for the configuration file, comes
    // too late. OPENSSL_init_ssl would do the same and tie this target to libssl.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
}

void chost_sha256(const void *data, size_t length, unsigned char digest[32]) {
    if (EVP_Digest(data, length, digest, NULL, EVP_sha256(), NULL) != 1) {
        abort();
    }
}
