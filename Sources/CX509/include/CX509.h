// X.509 certificates (RFC 5280) by OpenSSL's libcrypto: what Berth makes and checks of them, in PEM.
//
// Every function is independent of the others and of what went before, and may run on any thread. Those that can fail
// return NULL on success and otherwise a constant text that says what failed. A certificate argument is the first
// certificate of its text; what stands before and after it is ignored. Keys that are encrypted count as unreadable:
// nobody is asked for a pass phrase.

#ifndef CX509_H
#define CX509_H

#include <stddef.h>
#include <stdint.h>

/// Makes a private key for ECDSA on P-256. `*key` is its PKCS #8 text, to be given back with `cx509_free`.
const char *_Nullable cx509_make_key(char *_Nullable *_Nonnull key);

/// What a certificate to be made says.
typedef struct {
    /// At most 64 bytes; not NULL.
    const char *_Nullable common_name;
    /// `DNS:a.example,DNS:b.example`, or NULL for a certificate authority. The caller answers for its syntax.
    const char *_Nullable alternative_names;
    /// The serial number, most significant byte first: positive and not zero (RFC 5280, section 4.1.2.2).
    uint8_t serial[16];
    /// Seconds since 1970.
    int64_t not_before;
    int64_t not_after;
} cx509_order;

/// Makes a certificate for the public half of `key`, signed with ECDSA and SHA-256. `*certificate` is its text, to be
/// given back with `cx509_free`.
///
/// Without an issuer it is an authority that signs itself: basicConstraints CA:TRUE, pathlen:0 and keyUsage
/// keyCertSign, cRLSign, both critical, and its subjectKeyIdentifier. With one it is a server's: basicConstraints
/// CA:FALSE and keyUsage digitalSignature, both critical, extendedKeyUsage serverAuth, subjectAltName, both key
/// identifiers.
const char *_Nullable cx509_make_certificate(const cx509_order *_Nonnull order, const char *_Nonnull key,
                                             const char *_Nullable issuer, const char *_Nullable issuer_key,
                                             char *_Nullable *_Nonnull certificate);

void cx509_free(char *_Nullable text);

/// What a certificate says of itself. Times are in seconds since 1970.
typedef struct {
    int64_t not_before;
    int64_t not_after;
    /// It may sign other certificates.
    int is_authority;
} cx509_facts;

const char *_Nullable cx509_read(const char *_Nonnull certificate, cx509_facts *_Nonnull facts);

/// Whether a server of the DNS name `name` may show the certificate: only subjectAltName counts, and no wildcard.
int cx509_covers(const char *_Nonnull certificate, const char *_Nonnull name);

/// Whether `key` is readable, whatever its kind, and the private half of the certificate's.
const char *_Nullable cx509_check_key(const char *_Nonnull certificate, const char *_Nonnull key);

/// Whether `key` is readable and an elliptic one on P-256.
int cx509_is_p256(const char *_Nonnull key);

/// Whether `authority` vouches for a server's certificate at `time`, in seconds since 1970.
const char *_Nullable cx509_verify(const char *_Nonnull certificate, const char *_Nonnull authority, int64_t time);

#endif
