/* SPDX-License-Identifier: MIT */
/* A conversation on the event loop, for a program that does one thing after the other.
 *
 *   dialog_say -> conn_write -> loop_run ............. data -> reply parser -> READY ---> loop_stop -> result
 *                                        `............ timer, end of the connection ----'
 *
 * The dialog is its caller's; the connection is the dialog's, until dialog_close or its own end. Only what is
 * awaited stops the loop, so that an event of another dialog never ends this one's call. All that came from
 * the server and is shown to people goes through dialog_printable, or through the reply parser and then it.
 */
#include "probe/dialog.h"

#include <stdarg.h>
#include <stdio.h>

enum { SNIPPET = 80 };

void dialog_printable(char *out, size_t out_size, struct span s)
{
    size_t n = s.n < out_size - 1 ? s.n : out_size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = s.p[i] >= ' ' && s.p[i] <= '~' ? s.p[i] : '?';
    out[n] = '\0';
    if (n < s.n && n > 3)
        memcpy(out + n - 3, "...", 3);
}

/* ---- the end of a call ---- */

static void settle(struct dialog *d, enum dialog_result result)
{
    if (d->awaited == DIALOG_NOTHING)
        return;
    d->awaited = DIALOG_NOTHING;
    d->result = result;
    loop_stop(d->world->loop);
}

static void drop(struct dialog *d)
{
    if (d->conn)
        conn_close(&d->conn, CONN_END_NOW);
}

static void say_why(struct dialog *d, const char *format, ...) PRINTF_LIKE(2, 3);
static void say_why(struct dialog *d, const char *format, ...)
{
    char text[DIALOG_WHY];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    dialog_printable(d->why, sizeof d->why, span_of(text));
}

static void on_timer(void *arg)
{
    struct dialog *d = arg;
    static const char *const missing[] = {
        [DIALOG_CONNECTION] = "no connection", [DIALOG_REPLY] = "no reply", [DIALOG_HANDSHAKE] = "no TLS"};
    say_why(d, "%s in time", missing[d->awaited]);
    settle(d, DIALOG_SILENT);
}

static enum dialog_result await(struct dialog *d, enum dialog_awaited what, uint64_t patience_us)
{
    const struct dialog_world *w = d->world;
    uint64_t now = loop_now_us(w->loop), left = now < w->end_us ? w->end_us - now : 0;
    if (!d->conn)
        return DIALOG_LOST;
    d->awaited = what;
    loop_timer_start(w->loop, &d->timer, patience_us < left ? patience_us : left, on_timer, d);
    if (what == DIALOG_REPLY)
        conn_resume(d->conn);
    loop_run(w->loop);
    loop_timer_stop(&d->timer);
    return d->result;
}

/* ---- what the connection says ---- */

static void foreign(struct dialog *d, struct span seen)
{
    char snippet[SNIPPET];
    size_t n = span_find(seen, '\n');
    if (n && n < seen.n && seen.p[n - 1] == '\r')
        n--;
    dialog_printable(snippet, sizeof snippet, span_head(seen, n));
    say_why(d, "not SMTP: %s: \"%s\"", d->parser.why, snippet);
    drop(d);
    settle(d, DIALOG_FOREIGN);
}

static size_t on_data(void *ctx, struct conn *c, struct span bytes)
{
    struct dialog *d = ctx;
    struct span left = bytes;
    (void)c;
    if (d->awaited != DIALOG_REPLY)
        return 0;
    switch (reply_feed(&d->parser, &left)) {
    case REPLY_MORE:
        break;
    case REPLY_READY:
        d->code = d->parser.code;
        d->reply = d->parser.bytes;
        settle(d, DIALOG_GOOD);
        break;
    case REPLY_MALFORMED:
    case REPLY_TOO_LONG:
        foreign(d, bytes);
        break;
    case REPLY_NO_MEMORY:
        say_why(d, "no memory");
        drop(d);
        settle(d, DIALOG_NO_MEMORY);
        break;
    }
    return bytes.n - left.n;
}

static void on_event(void *ctx, struct conn *c, enum conn_event e, const char *why)
{
    static const enum dialog_awaited fulfilled[] = {
        [CONN_CONNECTED] = DIALOG_CONNECTION, [CONN_TLS] = DIALOG_HANDSHAKE};
    struct dialog *d = ctx;
    (void)c;
    switch (e) {
    case CONN_CONNECTED:
    case CONN_TLS:
        if (d->awaited == fulfilled[e])
            settle(d, DIALOG_GOOD);
        break;
    case CONN_DRAINED:
    case CONN_TLS_ASKS:
        break;
    case CONN_EOF:
        say_why(d, "the server closed the connection");
        drop(d);
        settle(d, DIALOG_LOST);
        break;
    case CONN_CLOSED:
        say_why(d, "%s", why);
        d->conn = NULL;
        settle(d, DIALOG_LOST);
        break;
    }
}

static const struct conn_events events = {.data = on_data, .event = on_event};

/* ---- calls ---- */

static enum dialog_result no_memory(struct dialog *d)
{
    say_why(d, "no memory");
    return DIALOG_NO_MEMORY;
}

enum dialog_result dialog_connect(struct dialog *d, const struct dialog_world *w, const char *host,
                                  uint16_t port, uint64_t patience_us)
{
    struct conn_target to = {.host = host, .port = port, .deadline_us = patience_us};
    *d = (struct dialog){.world = w};
    reply_parser_init(&d->parser);
    d->conn = conn_connect(w->loop, w->resolver, &to, &events, d);
    return d->conn ? await(d, DIALOG_CONNECTION, 2 * patience_us) : no_memory(d);
}

enum dialog_result dialog_listen(struct dialog *d, uint64_t patience_us)
{
    return await(d, DIALOG_REPLY, patience_us);
}

enum dialog_result dialog_send(struct dialog *d, struct span bytes)
{
    if (!d->conn)
        return DIALOG_LOST;
    return conn_write(d->conn, bytes) ? DIALOG_GOOD : no_memory(d);
}

enum dialog_result dialog_say(struct dialog *d, struct span command, uint64_t patience_us)
{
    enum dialog_result r = dialog_send(d, command);
    if (r == DIALOG_GOOD)
        r = dialog_send(d, SPAN_LIT("\r\n"));
    return r == DIALOG_GOOD ? dialog_listen(d, patience_us) : r;
}

enum dialog_result dialog_secure(struct dialog *d, struct tls_client *t, const char *name,
                                 uint64_t patience_us)
{
    if (!d->conn)
        return DIALOG_LOST;
    if (conn_unread(d->conn) || reply_partial(&d->parser)) {
        say_why(d, "the server spoke in clear behind its answer to STARTTLS: somebody may have put it there");
        drop(d);
        return DIALOG_FOREIGN;
    }
    if (!conn_tls_connect(d->conn, t, name, NULL, patience_us))
        return no_memory(d);
    return await(d, DIALOG_HANDSHAKE, 2 * patience_us);
}

bool dialog_begun(const struct dialog *d)
{
    return d->conn && reply_partial(&d->parser);
}

struct span dialog_first_line(const struct dialog *d)
{
    return span_head(d->reply, span_find(d->reply, '\r'));
}

enum dialog_result dialog_refused(struct dialog *d)
{
    dialog_printable(d->why, sizeof d->why, dialog_first_line(d));
    return DIALOG_REFUSED;
}

void dialog_close(struct dialog *d)
{
    drop(d);
    if (d->world)
        reply_parser_free(&d->parser);
    d->reply = SPAN_NONE;
}
