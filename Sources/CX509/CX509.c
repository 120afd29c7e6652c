#define _GNU_SOURCE  // timegm

#include "CX509.h"

#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

static const char unreadable_certificate[] = "no certificate in PEM form";
static const char unreadable_key[] = "no private key in PEM form, or an encrypted one";
static const char out_of_memory[] = "libcrypto failed: out of memory";

/// Without it OpenSSL asks at the terminal.
static int no_pass_phrase(char *buffer, int size, int writing, void *context) {
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

/// Later calls on this thread must not find the errors of this one.
static const char *finish(const char *problem) {
    ERR_clear_error();
    return problem;
}

static X509 *read_certificate(const char *text) {
    BIO *bio = BIO_new_mem_buf(text, -1);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL) : NULL;
    BIO_free(bio);
    return certificate;
}

static EVP_PKEY *read_key(const char *text) {
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;
    BIO_free(bio);
    return key;
}

/// What was written to `bio`, as a string of its own; NULL when memory has run out.
static char *contents(BIO *bio) {
    char *bytes = NULL;
    long length = BIO_get_mem_data(bio, &bytes);
    char *text = length > 0 ? OPENSSL_malloc((size_t)length + 1) : NULL;
    if (text == NULL) return NULL;
    memcpy(text, bytes, (size_t)length);
    text[length] = 0;
    return text;
}

void cx509_free(char *text) {
    // A private key may be in it.
    if (text) OPENSSL_clear_free(text, strlen(text));
}

const char *cx509_make_key(char **text) {
    *text = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_secmem());
    if (key && bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) *text = contents(bio);
    BIO_free(bio);
    EVP_PKEY_free(key);
    return finish(*text ? NULL : "libcrypto cannot make a key on P-256");
}

static int add_extension(X509 *certificate, X509 *issuer, int kind, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    int is_added = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

static int set_serial(X509 *certificate, const uint8_t *bytes, int count) {
    BIGNUM *number = BN_bin2bn(bytes, count, NULL);
    int is_set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return is_set;
}

static int set_subject(X509 *certificate, const char *common_name) {
    X509_NAME *name = X509_NAME_new();
    int is_set = name &&
                 X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)common_name,
                                            -1, -1, 0) == 1 &&
                 X509_set_subject_name(certificate, name) == 1;
    X509_NAME_free(name);
    return is_set;
}

/// Fills a certificate but for its signature. `issuer` is the certificate itself for one that signs itself.
static const char *fill(X509 *certificate, const cx509_order *order, EVP_PKEY *key, X509 *issuer) {
    int is_authority = issuer == certificate;
    if (X509_set_version(certificate, X509_VERSION_3) != 1 ||
        !set_serial(certificate, order->serial, sizeof order->serial) || X509_set_pubkey(certificate, key) != 1) {
        return out_of_memory;
    }
    if (!set_subject(certificate, order->common_name)) return "the common name is not valid";
    if (X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1) return out_of_memory;
    if (!ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)order->not_before) ||
        !ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)order->not_after)) {
        return "the time is not valid";
    }
    const char *constraints = is_authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE";
    const char *usage = is_authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature";
    if (!add_extension(certificate, issuer, NID_basic_constraints, constraints) ||
        !add_extension(certificate, issuer, NID_key_usage, usage) ||
        !add_extension(certificate, issuer, NID_subject_key_identifier, "hash")) {
        return out_of_memory;
    }
    if (is_authority) return NULL;
    if (!add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth")) return out_of_memory;
    if (!add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always")) {
        return "the issuer has no key identifier";
    }
    if (order->alternative_names &&
        !add_extension(certificate, issuer, NID_subject_alt_name, order->alternative_names)) {
        return "the alternative names are not valid";
    }
    return NULL;
}

static const char *sign(X509 *certificate, EVP_PKEY *key, char **text) {
    if (X509_sign(certificate, key, EVP_sha256()) == 0) return "the issuer's key cannot sign";
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio && PEM_write_bio_X509(bio, certificate) == 1) *text = contents(bio);
    BIO_free(bio);
    return *text ? NULL : out_of_memory;
}

const char *cx509_make_certificate(const cx509_order *order, const char *key_text, const char *issuer_text,
                                   const char *issuer_key_text, char **text) {
    *text = NULL;
    X509 *certificate = X509_new();
    EVP_PKEY *key = read_key(key_text);
    X509 *issuer = issuer_text ? read_certificate(issuer_text) : NULL;
    EVP_PKEY *issuer_key = issuer_key_text ? read_key(issuer_key_text) : NULL;
    const char *problem;
    if (!certificate) {
        problem = out_of_memory;
    } else if (!key || (issuer_key_text && !issuer_key)) {
        problem = unreadable_key;
    } else if (issuer_text && !issuer) {
        problem = unreadable_certificate;
    } else {
        problem = fill(certificate, order, key, issuer ? issuer : certificate);
        if (!problem) problem = sign(certificate, issuer_key ? issuer_key : key, text);
    }
    EVP_PKEY_free(issuer_key);
    X509_free(issuer);
    EVP_PKEY_free(key);
    X509_free(certificate);
    return finish(problem);
}

static int seconds(const ASN1_TIME *time, int64_t *result) {
    struct tm parts;
    if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
    *result = timegm(&parts);
    return 1;
}

const char *cx509_read(const char *text, cx509_facts *facts) {
    X509 *certificate = read_certificate(text);
    const char *problem = NULL;
    if (!certificate) {
        problem = unreadable_certificate;
    } else if (!seconds(X509_get0_notBefore(certificate), &facts->not_before) ||
               !seconds(X509_get0_notAfter(certificate), &facts->not_after)) {
        problem = "the certificate's validity is not readable";
    } else {
        facts->is_authority = X509_check_ca(certificate) == 1;
    }
    X509_free(certificate);
    return finish(problem);
}

int cx509_covers(const char *text, const char *name) {
    X509 *certificate = read_certificate(text);
    unsigned int flags = X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    int covers = certificate && X509_check_host(certificate, name, strlen(name), flags, NULL) == 1;
    X509_free(certificate);
    ERR_clear_error();
    return covers;
}

const char *cx509_check_key(const char *text, const char *key_text) {
    X509 *certificate = read_certificate(text);
    EVP_PKEY *key = read_key(key_text);
    const char *problem = NULL;
    if (!certificate) {
        problem = unreadable_certificate;
    } else if (!key) {
        problem = unreadable_key;
    } else if (X509_check_private_key(certificate, key) != 1) {
        problem = "the private key is not that of the certificate";
    }
    EVP_PKEY_free(key);
    X509_free(certificate);
    return finish(problem);
}

int cx509_is_p256(const char *text) {
    EVP_PKEY *key = read_key(text);
    char group[32] = "";
    int is_p256 = key && EVP_PKEY_is_a(key, "EC") == 1 &&
                  EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) == 1 &&
                  strcmp(group, SN_X9_62_prime256v1) == 0;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return is_p256;
}

const char *cx509_verify(const char *text, const char *authority_text, int64_t time) {
    X509 *certificate = read_certificate(text);
    X509 *authority = read_certificate(authority_text);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    const char *problem = NULL;
    if (!certificate || !authority) {
        problem = unreadable_certificate;
    } else if (!store || !context || X509_STORE_add_cert(store, authority) != 1 ||
               X509_STORE_CTX_init(context, store, certificate, NULL) != 1 ||
               X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER) != 1) {
        problem = out_of_memory;
    } else {
        X509_STORE_CTX_set_time(context, 0, (time_t)time);
        if (X509_verify_cert(context) != 1) {
            problem = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
        }
    }
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(authority);
    X509_free(certificate);
    return finish(problem);
}
