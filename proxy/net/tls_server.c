/* SPDX-License-Identifier: MIT */
/* The server's side of TLS: one SSL_CTX for each pair, chosen by the name that the client asks for; or one
 * that has no certificate until the owner of the connection says which one to copy.
 *
 *   ClientHello, SNI "a.example.org" -> names (sorted) -> its SSL_CTX, else that of the first pair
 *   ClientHello -> on_certificate: wait -> the owner looks -> tls_server_present -> tls_mint -> goes on
 *
 * But for its ticket keys a tls_server never changes after it was made. The runtime holds one reference, and
 * each connection one until its SSL is freed. Sessions live in tickets alone: no cache here grows with
 * handshakes. */
#include "net/tls_mint.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

struct server_name {
    char *name; /* lower case; may start with "*." */
    size_t pair;
};

struct tls_server {
    unsigned references;
    size_t pairs_n, names_n;
    SSL_CTX **pairs;
    struct server_name *names;
    bool has_keys;
    struct tls_ticket_keys keys;
    unsigned char context[SHA256_DIGEST_LENGTH];
    struct tls_mint *mint; /* NULL: certificates of its own */
};

/* ---- names ---- */

static bool add_name(struct tls_server *t, const unsigned char *bytes, int n, size_t pair)
{
    if (n <= 0 || memchr(bytes, '\0', (size_t)n))
        return true; /* no host name: nobody can ask for it */
    struct server_name *more = realloc(t->names, (t->names_n + 1) * sizeof *more);
    if (!more)
        return false;
    t->names = more;
    char *name = malloc((size_t)n + 1);
    if (!name)
        return false;
    for (int i = 0; i < n; i++)
        name[i] = ascii_lower((char)bytes[i]);
    name[n] = '\0';
    t->names[t->names_n++] = (struct server_name){name, pair};
    return true;
}

static bool add_alternative_names(struct tls_server *t, const GENERAL_NAMES *all, size_t pair, bool *found_r)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        if (g->type != GEN_DNS)
            continue;
        *found_r = true;
        const ASN1_IA5STRING *s = g->d.dNSName;
        if (!add_name(t, ASN1_STRING_get0_data(s), ASN1_STRING_length(s), pair))
            return false;
    }
    return true;
}

/* The common name counts only where there are no alternative names, as for those who verify. */
static bool add_common_name(struct tls_server *t, X509 *certificate, size_t pair)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (i < 0)
        return true;
    const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i));
    return add_name(t, ASN1_STRING_get0_data(s), ASN1_STRING_length(s), pair);
}

static bool add_names(struct tls_server *t, X509 *certificate, size_t pair)
{
    bool found = false;
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool good = add_alternative_names(t, all, pair, &found);
    GENERAL_NAMES_free(all);
    return good && (found || add_common_name(t, certificate, pair));
}

static int by_name(const void *a, const void *b)
{
    const struct server_name *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order)
        return order;
    return x->pair < y->pair ? -1 : x->pair > y->pair;
}

/* The first pair that has the name, or NULL. */
static const struct server_name *find_name(const struct tls_server *t, const char *name)
{
    size_t low = 0, high = t->names_n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(t->names[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->names_n && strcmp(t->names[low].name, name) == 0 ? &t->names[low] : NULL;
}

/* Exact first, then the wildcard for the first label. */
static const struct server_name *find_pair(const struct tls_server *t, const char *asked)
{
    char name[256 + 2];
    size_t n = 0;
    for (; asked[n]; n++) {
        if (n >= 255)
            return NULL;
        name[n] = ascii_lower(asked[n]);
    }
    name[n] = '\0';
    const struct server_name *hit = find_name(t, name);
    char *dot = memchr(name, '.', n);
    if (hit || !dot || dot == name)
        return hit;
    dot[-1] = '*';
    return find_name(t, dot - 1);
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    struct tls_server *t = arg;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct server_name *hit = asked ? find_pair(t, asked) : NULL;
    if (!hit)
        return t->mint ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_SSL_CTX(ssl, t->pairs[hit->pair]))
        return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- ALPN ---- */

/* A client that wants another protocol here was led astray (ALPACA). One that lists nothing is a mail client.
 */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                   unsigned in_n, void *arg)
{
    static const struct span smtp = {"smtp", 4};
    struct span list = {(const char *)in, in_n};
    (void)ssl;
    (void)arg;
    while (list.n) {
        size_t n = (unsigned char)list.p[0];
        list = span_skip(list, 1);
        if (n > list.n)
            break;
        if (span_eq(span_head(list, n), smtp)) {
            *out = (const unsigned char *)list.p;
            *out_n = (unsigned char)n;
            return SSL_TLSEXT_ERR_OK;
        }
        list = span_skip(list, n);
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- tickets ---- */

enum { TICKET_NAME = 16, TICKET_HMAC = 32, TICKET_AES = 32 };

static bool ticket_setup(unsigned char *key, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                         int making)
{
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key + TICKET_NAME, TICKET_HMAC),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key + TICKET_NAME + TICKET_HMAC, iv, making) ==
               1 &&
           EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

/* Results as OpenSSL wants them: -1 error, 0 no ticket (a full handshake), 1 good, 2 good but make a new one.
 */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int making)
{
    struct tls_server *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (making) {
        memcpy(name, t->keys.key[0], TICKET_NAME);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
        return ticket_setup(t->keys.key[0], iv, cipher, mac, 1) ? 1 : -1;
    }
    for (int i = 0; i < (t->keys.previous ? 2 : 1); i++)
        if (memcmp(name, t->keys.key[i], TICKET_NAME) == 0) {
            bool renew = i > 0 || SSL_version(ssl) >= TLS1_3_VERSION; /* there a ticket is used once only */
            return !ticket_setup(t->keys.key[i], iv, cipher, mac, 0) ? -1 : renew ? 2 : 1;
        }
    return 0;
}

/* A client's certificate was good when its session began. That it has run out since, OpenSSL does not ask. */
static SSL_TICKET_RETURN on_resume(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_n,
                                   SSL_TICKET_STATUS status, void *arg)
{
    X509 *shown = session ? SSL_SESSION_get0_peer(session) : NULL;
    (void)ssl;
    (void)name;
    (void)name_n;
    (void)arg;
    if (shown && X509_cmp_current_time(X509_get0_notAfter(shown)) < 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS         ? SSL_TICKET_RETURN_USE
           : status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE_RENEW
                                                : SSL_TICKET_RETURN_IGNORE_RENEW;
}

void tls_server_rekey(struct tls_server *t, const struct tls_ticket_keys *keys)
{
    if (t->has_keys)
        t->keys = *keys;
}

/* ---- making one ---- */

static bool add_part(EVP_MD_CTX *digest, struct span part)
{
    uint64_t n = part.n; /* leads, so that no two lists of parts read the same */
    return EVP_DigestUpdate(digest, &n, sizeof n) == 1 &&
           EVP_DigestUpdate(digest, part.p ? part.p : "", part.n) == 1;
}

/* What a session must have in common with us to be resumed: one number for all of it. */
static bool make_context(struct tls_server *t, const struct tls_server_options *o)
{
    const unsigned char rules[] = {(unsigned char)o->floor, (unsigned char)o->ask};
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool good = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                add_part(digest, o->context) && add_part(digest, o->client_ca) &&
                EVP_DigestUpdate(digest, rules, sizeof rules) == 1;
    for (size_t i = 0; good && i < o->pair_n; i++)
        good = add_part(digest, o->pairs[i].certificate);
    good = good && EVP_DigestFinal_ex(digest, t->context, NULL) == 1;
    EVP_MD_CTX_free(digest);
    return good;
}

static bool set_sessions(const struct tls_server *t, SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_session_id_context(ctx, t->context, sizeof t->context) == 1 &&
           SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
           SSL_CTX_set_session_ticket_cb(ctx, NULL, on_resume, NULL) == 1 &&
           (!t->has_keys || SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1);
}

/* Who may sign clients' certificates; the list of their names goes to the client. */
static bool set_client_ca(SSL_CTX *ctx, struct span pem)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    if (!tls_trust(store, pem))
        return false;
    STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
        X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
        if (ca && SSL_CTX_add_client_CA(ctx, ca) != 1)
            return false;
    }
    return true;
}

static bool set_ask(SSL_CTX *ctx, const struct tls_server_options *o)
{
    static const int modes[] = {
        [TLS_ASK_NOTHING] = SSL_VERIFY_NONE,
        [TLS_ASK_REQUEST] = SSL_VERIFY_PEER,
        [TLS_ASK_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    };
    SSL_CTX_set_verify(ctx, modes[o->ask], NULL);
    return o->ask == TLS_ASK_NOTHING || set_client_ca(ctx, o->client_ca);
}

/* Into t->pairs. NULL: the reason is in `error`. */
static SSL_CTX *add_context(struct tls_server *t, const struct tls_server_options *o, const char *name,
                            char *error, size_t error_size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || !tls_common_settings(ctx, o->floor) || !set_sessions(t, ctx)) {
        tls_error(error, error_size, "%s: TLS cannot be set up", name);
        SSL_CTX_free(ctx);
        return NULL;
    }
    t->pairs[t->pairs_n++] = ctx;
    if (!set_ask(ctx, o)) {
        tls_error(error, error_size, "%s: no PEM certificates that can be read", o->client_ca_name);
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT); /* it may be a password */
    SSL_CTX_set_app_data(ctx, t);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, t);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    return ctx;
}

static bool add_pair(struct tls_server *t, const struct tls_server_options *o, const struct tls_pair *pair,
                     char *error, size_t error_size)
{
    struct tls_loaded l;
    size_t place = t->pairs_n;
    if (!tls_pair_load(pair, &l, error, error_size))
        return false;
    SSL_CTX *ctx = add_context(t, o, pair->name, error, error_size);
    bool good = ctx && ((tls_loaded_use(ctx, &l) && add_names(t, l.certificate, place)) ||
                        tls_error(error, error_size, "%s: the certificate cannot be used", pair->name));
    tls_loaded_free(&l);
    return good;
}

/* ---- minting ---- */

/* OpenSSL calls it when the ClientHello is read, and again when the handshake goes on. -1: it waits. */
static int on_certificate(SSL *ssl, void *arg)
{
    const struct tls_tie *tie = SSL_get_app_data(ssl);
    (void)arg;
    return tie->presented ? 1 : -1;
}

bool tls_server_present(SSL *ssl, const struct tls_shown *like)
{
    struct tls_tie *tie = SSL_get_app_data(ssl);
    struct tls_mint *mint = tie->server ? tie->server->mint : NULL;
    tie->presented = mint && like && tls_mint_use(mint, like, ssl);
    return tie->presented;
}

/* A resumed session would show no certificate, and so skip asking the real server what it shows today: there
 * are neither tickets nor session ids. */
static bool add_mint(struct tls_server *t, const struct tls_server_options *o, char *error, size_t error_size)
{
    t->mint = tls_mint_create(o->mint, error, error_size);
    SSL_CTX *ctx = t->mint ? add_context(t, o, o->mint->name, error, error_size) : NULL;
    if (!ctx)
        return false;
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN); /* those who may sign for clients are none of it */
    SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
    return SSL_CTX_set_num_tickets(ctx, 0) == 1 ||
           tls_error(error, error_size, "%s: TLS cannot be set up", o->mint->name);
}

/* ---- life ---- */

/* NULL: it can be made. */
static const char *misfit(const struct tls_server_options *o)
{
    if (o->mint)
        return o->pair_n ? "certificates of its own and a CA to mint with exclude each other" : NULL;
    return o->pair_n ? NULL : "no certificate was given";
}

struct tls_server *tls_server_create(const struct tls_server_options *o, char *error, size_t error_size)
{
    ERR_clear_error();
    const char *why = misfit(o);
    struct tls_server *t = why ? NULL : calloc(1, sizeof *t);
    if (!t || !(t->pairs = calloc(o->pair_n + 1, sizeof(SSL_CTX *))) || !make_context(t, o)) {
        (void)snprintf(error, error_size, "%s", why ? why : "out of memory");
        if (t)
            free(t->pairs);
        free(t);
        return NULL;
    }
    t->references = 1;
    if (o->keys && !o->mint) {
        t->has_keys = true;
        t->keys = *o->keys;
    }
    bool good = !o->mint || add_mint(t, o, error, error_size);
    for (size_t i = 0; good && i < o->pair_n; i++)
        good = add_pair(t, o, &o->pairs[i], error, error_size);
    if (!good) {
        tls_server_unref(&t);
        return NULL;
    }
    if (t->names_n)
        qsort(t->names, t->names_n, sizeof *t->names, by_name);
    return t;
}

void tls_server_unref(struct tls_server **tp)
{
    struct tls_server *t = *tp;
    *tp = NULL;
    if (!t || --t->references)
        return;
    for (size_t i = 0; i < t->pairs_n; i++)
        SSL_CTX_free(t->pairs[i]);
    for (size_t i = 0; i < t->names_n; i++)
        free(t->names[i].name);
    free(t->pairs);
    free(t->names);
    tls_mint_free(&t->mint);
    OPENSSL_cleanse(&t->keys, sizeof t->keys);
    free(t);
}

SSL *tls_server_ssl(struct tls_server *t)
{
    SSL *ssl = tls_tie_ssl(t->pairs[0], t, NULL, "");
    if (!ssl)
        return NULL;
    t->references++;
    SSL_set_accept_state(ssl);
    return ssl;
}
