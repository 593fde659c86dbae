/* SPDX-License-Identifier: MIT */
/* Copies of certificates that servers have shown, signed by an authority that our clients trust; for net/
 * only. */
#ifndef NET_TLS_MINT_H
#define NET_TLS_MINT_H

#include "net/tls_ssl.h"

enum {
    TLS_MINT_KEPT = 256,              /* copies kept; the oldest makes room */
    TLS_MINT_KEPT_BYTES = 8 * 1024,   /* DER; a larger copy is not kept but made each time */
    TLS_MINT_COPIED_BYTES = 64 * 1024 /* DER; a larger certificate is not copied */
};

struct tls_mint; /* the authority, a key of its own for all copies, and the copies that it keeps */
/* NULL with the reason in `error`. An authority out of date is taken: its copies are as useless. */
MUST_CHECK struct tls_mint *tls_mint_create(const struct tls_pair *ca, char *error, size_t error_size);
void tls_mint_free(struct tls_mint **m);

/* The copy, made or kept; the caller's reference. NULL: no memory, or something that cannot be copied. */
MUST_CHECK X509 *tls_mint_copy(struct tls_mint *m, const struct tls_shown *like);
/* Makes a handshake that waits for its certificate show the copy. */
MUST_CHECK bool tls_mint_use(struct tls_mint *m, const struct tls_shown *like, SSL *ssl);

#endif
