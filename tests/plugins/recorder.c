/* SPDX-License-Identifier: MIT */
/* recorder: writes every call to a file, one line each, so that a test reads what a filter saw. The file is
 * appended to and flushed line by line; it belongs to the instance.
 *
 *   begin SID | PHASE SID text… | end SID */
#include "plugin.h"

#include <stdarg.h>
#include <stdio.h>

struct recorder {
    const struct postern_host *host;
    void *self;
    FILE *file;
};

static const struct postern_option options[] = {
    {.name = "file", .type = POSTERN_STRING, .flags = POSTERN_REQUIRED, .help = "Where it writes."},
    {.name = NULL},
};

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    struct postern_span name = option_text(block, "file");
    struct recorder *r = calloc(1, sizeof(*r));
    char path[1024];

    if (!r || snprintf(path, sizeof(path), "%.*s", (int)name.n, name.p) >= (int)sizeof(path)) {
        free(r);
        host->config_error(self, block, 0, "no memory, or the name is too long");
        return -1;
    }
    r->host = host;
    r->self = self;
    r->file = fopen(path, "ae");
    if (!r->file) {
        host->config_error(self, option(block, "file"), 0, "%s cannot be opened", path);
        free(r);
        return -1;
    }
    *filter_r = r;
    return 0;
}

static void release(void *filter)
{
    struct recorder *r = filter;
    (void)fclose(r->file);
    free(r);
}

/* Printable as it is, all else as \xNN: one call is one line. */
static void put(FILE *file, struct postern_span s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= ' ' && c <= '~' && c != '\\')
            (void)fputc(c, file);
        else
            (void)fprintf(file, "\\x%02x", c);
    }
}

static void put_word(FILE *file, struct postern_span s)
{
    (void)fputc(' ', file);
    put(file, s);
}

static void __attribute__((format(printf, 2, 3))) end_line(struct recorder *r, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    (void)vfprintf(r->file, format, ap);
    va_end(ap);
    (void)fputc('\n', r->file);
    if (fflush(r->file) != 0)
        r->host->log(r->self, POSTERN_LOG_ERROR, "the record cannot be written");
}

/* A session is known by its id, which the plugin keeps: there is no transaction to ask in session_end. */
struct session {
    size_t n;
    char id[64];
};

static int session_begin(void *filter, struct postern_tx *tx, void **session_r)
{
    struct recorder *r = filter;
    struct postern_span id = r->host->get(tx, POSTERN_F_SESSION_ID);
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        return -1;
    s->n = id.n < sizeof(s->id) ? id.n : sizeof(s->id);
    if (s->n)
        memcpy(s->id, id.p, s->n);
    (void)fputs("begin", r->file);
    put_word(r->file, (struct postern_span){s->id, s->n});
    end_line(r, "%s", "");
    *session_r = s;
    return 0;
}

static void session_end(void *filter, void *session)
{
    struct recorder *r = filter;
    const struct session *s = session;

    (void)fputs("end", r->file);
    put_word(r->file, (struct postern_span){s->id, s->n});
    end_line(r, "%s", "");
    free(session);
}

static void record(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                   struct postern_verdict *v)
{
    static const char *const names[POSTERN_PHASES] = {
        "CONNECT", "HELO",       "AUTH",        "MAIL", "RCPT", "DATA",       "HEADER",
        "HEADERS", "BODY",       "PART",        "TEXT", "END",  "RCPT_REPLY", "MESSAGE_REPLY",
        "ABORT",   "DISCONNECT", "PART_HEADER", "HTML", "URL",  "MEMBER",     "FLAG"};
    struct recorder *r = filter;

    (void)session, (void)v;
    (void)fputs(names[ev->phase], r->file);
    put_word(r->file, r->host->get(tx, POSTERN_F_SESSION_ID));
    if (ev->name.n)
        put_word(r->file, ev->name);
    put_word(r->file, ev->text);
    if (ev->part) {
        (void)fprintf(r->file, " part=%u depth=%u", ev->part->index, ev->part->depth);
        put_word(r->file, ev->part->type);
        put_word(r->file, ev->part->filename);
    }
    if (ev->phase == POSTERN_ON_RCPT_REPLY || ev->phase == POSTERN_ON_MESSAGE_REPLY)
        end_line(r, " code=%u upstream=%d", ev->code, ev->from_upstream);
    else
        end_line(r, "%s", "");
}

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "recorder",
    .help = "Writes down every call.",
    .options = options,
    .configure = configure,
    .release = release,
    .session_begin = session_begin,
    .session_end = session_end,
    .hooks = {[POSTERN_ON_CONNECT] = record,
              [POSTERN_ON_HELO] = record,
              [POSTERN_ON_AUTH] = record,
              [POSTERN_ON_MAIL] = record,
              [POSTERN_ON_RCPT] = record,
              [POSTERN_ON_DATA] = record,
              [POSTERN_ON_HEADER] = record,
              [POSTERN_ON_HEADERS] = record,
              [POSTERN_ON_BODY] = record,
              [POSTERN_ON_PART] = record,
              [POSTERN_ON_TEXT] = record,
              [POSTERN_ON_END] = record,
              [POSTERN_ON_RCPT_REPLY] = record,
              [POSTERN_ON_MESSAGE_REPLY] = record,
              [POSTERN_ON_ABORT] = record,
              [POSTERN_ON_DISCONNECT] = record},
};
