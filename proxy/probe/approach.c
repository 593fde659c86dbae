/* SPDX-License-Identifier: MIT */
/* How each connection of the probe begins.
 *
 *   connect -> (PROXY header) -> (TLS from the first byte) -> greeting -> EHLO -> (STARTTLS -> EHLO)
 *
 * What is learned on the way goes into the facts: both ends, TLS, the offers. The dialogs are their callers'.
 */
#include "probe/parts.h"

#include "base/clock.h"
#include "smtp/proxyproto.h"

#include <arpa/inet.h>
#include <stdio.h>

/* For documentation (RFC 5737, RFC 3849): nobody's. */
#define NOBODY_4 "192.0.2.1"
#define NOBODY_6 "2001:db8::1"
enum { NOBODY_PORT = 40000 };

/* ---- what is learned ---- */

static void address_words(char out[FACTS_ADDRESS], const unsigned char *ip, size_t ip_n)
{
    if (ip_n == 0 || !inet_ntop(ip_n == 4 ? AF_INET : AF_INET6, ip, out, FACTS_ADDRESS))
        out[0] = '\0';
}

static void note_ends(struct facts *f, const struct conn *c)
{
    unsigned char ip[16];
    uint16_t port;
    dialog_printable(f->server, sizeof f->server, conn_peer_text(c));
    address_words(f->server_ip, ip, conn_peer_ip(c, ip));
    address_words(f->own_ip, ip, conn_local_ip(c, ip, &port));
}

static void note_tls(struct facts *f, const struct dialog *d)
{
    struct tls_info info = conn_tls_info(dialog_conn(d));
    struct tls_shown *shown = conn_tls_shown(dialog_conn(d));
    f->tls.state = FACTS_TLS_WORKS;
    dialog_printable(f->tls.version, sizeof f->tls.version, span_of(info.version));
    dialog_printable(f->tls.cipher, sizeof f->tls.cipher, span_of(info.cipher));
    f->tls.shown = shown != NULL;
    if (shown)
        tls_shown_describe(shown, &f->tls.certificate);
    tls_shown_unref(&shown);
}

static void note_tls_failure(struct facts *f, const struct dialog *d)
{
    if (f->tls.state == FACTS_TLS_WORKS)
        return;
    f->tls.state = FACTS_TLS_FAILED;
    dialog_printable(f->tls.error, sizeof f->tls.error, span_of(d->why));
}

static void note_offer(struct facts_offer *offer, struct span reply)
{
    size_t at = 0;
    struct span line;
    *offer = (struct facts_offer){.given = true};
    if (!reply_next_line(reply, &at, &line)) /* the server's name */
        return;
    while (reply_next_line(reply, &at, &line)) {
        ehlo_take(&offer->ehlo, line);
        if (offer->n < FACTS_LINES)
            dialog_printable(offer->line[offer->n++], FACTS_TEXT, line);
        else
            offer->left_out++;
    }
}

/* ---- the steps ---- */

/* A client that nobody is, on its way to where the connection goes. */
static struct proxy_header header_of(const struct conn *c)
{
    struct proxy_header h = {.unique_id = SPAN_LIT("postern-probe")}; /* the daemon says its session's */
    h.to.ip_n = h.from.ip_n = conn_peer_ip(c, h.to.ip);
    h.to.port = conn_peer_port(c);
    h.from.port = NOBODY_PORT;
    if (h.from.ip_n)
        (void)inet_pton(h.from.ip_n == 4 ? AF_INET : AF_INET6, h.from.ip_n == 4 ? NOBODY_4 : NOBODY_6,
                        h.from.ip);
    return h;
}

static enum dialog_result say_header(struct probe *p, struct dialog *d)
{
    struct buf bytes = {0};
    if (p->header == FACTS_WAYS)
        return DIALOG_GOOD;
    struct proxy_header h = header_of(dialog_conn(d));
    bool good = p->header == FACTS_PROXY_V2 ? proxy_print_v2(&bytes, &h) : proxy_print_v1(&bytes, &h);
    enum dialog_result r = good ? dialog_send(d, buf_span(&bytes)) : DIALOG_NO_MEMORY;
    buf_free(&bytes);
    return r;
}

static enum dialog_result handshake(struct probe *p, struct dialog *d)
{
    enum dialog_result r = dialog_secure(d, p->tls, p->request->host, PATIENCE_TLS);
    if (r == DIALOG_GOOD)
        note_tls(p->facts, d);
    else
        note_tls_failure(p->facts, d);
    return r;
}

enum dialog_result approach_greeted(struct probe *p, struct dialog *d, uint64_t patience_us)
{
    struct facts *f = p->facts;
    const char *host = *f->server_ip ? f->server_ip : p->request->host;
    enum dialog_result r = dialog_connect(d, &p->world, host, p->request->port, PATIENCE_CONNECT);
    if (r != DIALOG_GOOD)
        return r;
    if (!*f->server_ip)
        note_ends(f, dialog_conn(d));
    r = say_header(p, d);
    if (r == DIALOG_GOOD && p->implicit)
        r = handshake(p, d);
    return r == DIALOG_GOOD ? dialog_listen(d, patience_us) : r;
}

/* A verb that was answered is used ever after. A server that does not know EHLO may speak LMTP, or be old. */
enum dialog_result approach_hello(struct probe *p, struct dialog *d, struct facts_offer *offer_r)
{
    static const char *const verbs[] = {"EHLO", "LHLO", "HELO"};
    struct facts *f = p->facts;
    enum dialog_result r = DIALOG_REFUSED;
    for (size_t i = 0; i < COUNT_OF(verbs) && r == DIALOG_REFUSED; i++) {
        char line[FACTS_ADDRESS + 16];
        bool six = span_find(span_of(f->own_ip), ':') < span_of(f->own_ip).n;
        if (f->verb && !span_eq(span_of(f->verb), span_of(verbs[i])))
            continue;
        (void)snprintf(line, sizeof line, "%s [%s%s]", verbs[i], six ? "IPv6:" : "", f->own_ip);
        r = dialog_say(d, span_of(line), PATIENCE_REPLY);
        if (r != DIALOG_GOOD)
            break;
        if (d->code / 100 != 2) {
            r = dialog_refused(d);
            continue;
        }
        f->verb = verbs[i];
        if (offer_r)
            note_offer(offer_r, d->reply);
    }
    return r;
}

enum dialog_result approach_secure(struct probe *p, struct dialog *d, struct facts_offer *offer_r)
{
    enum dialog_result r = dialog_say(d, SPAN_LIT("STARTTLS"), PATIENCE_REPLY);
    if (r == DIALOG_GOOD && d->code / 100 != 2)
        r = dialog_refused(d);
    if (r != DIALOG_GOOD) {
        note_tls_failure(p->facts, d);
        return r;
    }
    r = handshake(p, d);
    return r == DIALOG_GOOD ? approach_hello(p, d, offer_r) : r;
}

enum dialog_result approach_again(struct probe *p, struct dialog *d, bool in_tls)
{
    enum dialog_result r = approach_greeted(p, d, PATIENCE_GREETING);
    if (r == DIALOG_GOOD && d->code / 100 != 2)
        r = dialog_refused(d);
    if (r == DIALOG_GOOD)
        r = approach_hello(p, d, NULL);
    if (r == DIALOG_GOOD && in_tls && !p->implicit)
        r = approach_secure(p, d, NULL);
    return r;
}

void approach_leave(struct dialog *d)
{
    (void)!dialog_say(d, SPAN_LIT("QUIT"), PATIENCE_QUIT);
    dialog_close(d);
}
