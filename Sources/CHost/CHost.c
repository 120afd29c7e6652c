#include "CHost.h"

// Of SHA-256 the functions that need no algorithm to be fetched from a provider. OpenSSL 3 calls them deprecated, and
// its EVP functions cost a process's first digest ten times what everything else that a repeated DEL does.
#define OPENSSL_SUPPRESS_DEPRECATED

#include <stdlib.h>  // also defines __GLIBC__ where libc is glibc

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

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
    //
    // The last three leave out tables of names for everything that OpenSSL knows, which would be copied twice: about a
    // millisecond of a process that makes three requests. libssl loads the texts of its own errors all the same, and
    // fetches its ciphers from the provider. Only the digest of a certificate's signature is looked up by its name, so
    // those that a certificate can be signed with are entered here (SHA-1 for what old servers still negotiate).
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS |
                            OPENSSL_INIT_NO_ADD_ALL_CIPHERS | OPENSSL_INIT_NO_ADD_ALL_DIGESTS,
                        NULL);
    const EVP_MD *digests[] = {EVP_sha1(),     EVP_sha224(),   EVP_sha256(),   EVP_sha384(),   EVP_sha512(),
                               EVP_sha3_224(), EVP_sha3_256(), EVP_sha3_384(), EVP_sha3_512(), EVP_md5_sha1()};
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
        EVP_add_digest(digests[i]);
    }
}

void chost_sha256(const void *data, size_t length, unsigned char digest[32]) {
    SHA256_CTX context;
    if (SHA256_Init(&context) != 1 || SHA256_Update(&context, data, length) != 1 ||
        SHA256_Final(digest, &context) != 1) {
        abort();
    }
}
