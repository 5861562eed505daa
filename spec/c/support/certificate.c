/* certificate.c
 * A self-signed certificate for tests, fresh for each.
 * Does not know who serves or trusts it.
 * SPDX-License-Identifier: MIT */
#include "certificate.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { VALID_SECONDS = 3600 };

/* Elliptic, because an RSA key takes a while to make. */
static EVP_PKEY *new_key(void) {
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    assert_non_null(context);
    assert_int_equal(EVP_PKEY_keygen_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1), 1);
    assert_int_equal(EVP_PKEY_keygen(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

static X509 *new_x509(EVP_PKEY *key, const char *names) {
    X509 *x509 = X509_new();
    assert_non_null(x509);
    assert_int_equal(X509_set_version(x509, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x509), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x509), -VALID_SECONDS));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x509), VALID_SECONDS));
    X509_NAME *name = X509_get_subject_name(x509);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"a test", -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(x509, name), 1);
    assert_int_equal(X509_set_pubkey(x509, key), 1);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    return x509;
}

static void write_file(certificate *made) {
    const char *folder = getenv("TMPDIR");
    int length = snprintf(made->path, sizeof made->path, "%s/qa-test-XXXXXX",
                          folder != NULL && strlen(folder) < 40 ? folder : "/tmp");
    assert_in_range(length, 1, sizeof made->path - 1);
    int descriptor = mkstemp(made->path);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, made->x509), 1);
    assert_int_equal(fclose(file), 0);
}

certificate *certificate_new(const char *names) {
    certificate *made = calloc(1, sizeof *made);
    assert_non_null(made);
    made->key = new_key();
    made->x509 = new_x509(made->key, names);
    write_file(made);
    return made;
}

void certificate_free(certificate *made) {
    if (made == NULL)
        return;
    assert_int_equal(unlink(made->path), 0);
    X509_free(made->x509);
    EVP_PKEY_free(made->key);
    free(made);
}
