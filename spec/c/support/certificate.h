/* certificate.h
 * A self-signed certificate for tests, fresh for each.
 * Does not know who serves or trusts it.
 * SPDX-License-Identifier: MIT */
#ifndef QA_CERTIFICATE_H
#define QA_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

typedef struct certificate {
    EVP_PKEY *key;
    X509 *x509;
    char path[64]; /* PEM file of the certificate alone, in the directory for temporary files */
} certificate;

/* `names` as in subjectAltName: "DNS:localhost,IP:127.0.0.1". Aborts the test when it cannot. */
certificate *certificate_new(const char *names);
void certificate_free(certificate *made); /* removes the file; NULL is legal */

#endif
