/* SPDX-License-Identifier: MIT */
/* One log line, built on the caller's stack.
 *
 *   time=… level=info event=transaction key=value key="quoted value" cut=true
 *   {"time":"…","level":"info","event":"transaction","key":"value","cut":true}
 *
 * A field is written whole or not at all: where the line has no room for it, what was begun of it is taken
 * back. Octets outside printable ASCII become \xNN in logfmt. In JSON, characters become \uNNNN, and octets
 * that are no UTF-8 become the text \xNN. */
#include "base/clock.h"
#include "base/log.h"
#include "base/log_target.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define TAIL       "\",\"cut\":true}\n" /* the longest end of a line */
#define PLAIN_MAX  2000
#define TIME_WIDTH (CLOCK_TEXT - 1)

static const char *const level_names[] = {
    [LOG_AT_ERROR] = "error", [LOG_AT_WARN] = "warn", [LOG_AT_INFO] = "info", [LOG_AT_DEBUG] = "debug"};

enum escape { ESCAPE_PLAIN, ESCAPE_QUOTED, ESCAPE_JSON };

/* ---- bytes ---- */

static bool put(struct log_record *r, struct span s)
{
    if (s.n > sizeof r->text - sizeof TAIL - r->n)
        return false;
    if (s.n)
        memcpy(r->text + r->n, s.p, s.n);
    r->n += s.n;
    return true;
}

/* An escape is written whole or not at all, so that a cut never leaves half of one. */
static bool put_hex(struct log_record *r, struct span before, unsigned value, size_t digits)
{
    char text[8];
    memcpy(text, before.p, before.n);
    for (size_t i = before.n + digits; i-- > before.n; value >>= 4)
        text[i] = "0123456789abcdef"[value & 0xF];
    return put(r, span_make(text, before.n + digits));
}

static bool is_printable(char c)
{
    return c >= 0x20 && c < 0x7F;
}

/* One character of JSON from the front of *s: past the basic plane it is a pair of surrogates. */
static bool put_json_escape(struct log_record *r, struct span *s)
{
    uint32_t point = 0;
    size_t n = utf8_take(*s, &point);
    if (n == 0) {
        point = (unsigned char)s->p[0];
        *s = span_skip(*s, 1);
        return put_hex(r, SPAN_LIT("\\\\x"), point, 2);
    }
    *s = span_skip(*s, n);
    if (point < 0x10000)
        return put_hex(r, SPAN_LIT("\\u"), point, 4);
    point -= 0x10000;
    return put_hex(r, SPAN_LIT("\\u"), 0xD800 + (point >> 10), 4) &&
           put_hex(r, SPAN_LIT("\\u"), 0xDC00 + (point & 0x3FF), 4);
}

static bool put_escaped(struct log_record *r, struct span s, enum escape how)
{
    while (s.n) {
        size_t n = 0;
        while (n < s.n && is_printable(s.p[n]) && (how == ESCAPE_PLAIN || (s.p[n] != '"' && s.p[n] != '\\')))
            n++;
        if (!put(r, span_head(s, n)))
            return false;
        s = span_skip(s, n);
        if (s.n == 0)
            break;
        bool good;
        if (is_printable(s.p[0])) {
            char pair[2] = {'\\', s.p[0]};
            good = put(r, span_make(pair, sizeof pair));
            s = span_skip(s, 1);
        } else if (how == ESCAPE_JSON) {
            good = put_json_escape(r, &s);
        } else {
            good = put_hex(r, SPAN_LIT("\\x"), (unsigned char)s.p[0], 2);
            s = span_skip(s, 1);
        }
        if (!good)
            return false;
    }
    return true;
}

static bool put_quoted(struct log_record *r, struct span s, enum escape how)
{
    return put(r, SPAN_LIT("\"")) && put_escaped(r, s, how) && put(r, SPAN_LIT("\""));
}

static bool needs_quotes(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_printable(s.p[i]) || s.p[i] == ' ' || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\')
            return true;
    return s.n == 0;
}

/* ---- fields ---- */

static bool is_json(const struct log_record *r)
{
    return log_format_of(r->log) == LOG_JSON;
}

static bool put_key(struct log_record *r, const char *key)
{
    if (is_json(r))
        return put(r, SPAN_LIT(",\"")) && put(r, span_of(key)) && put(r, SPAN_LIT("\":"));
    return put(r, SPAN_LIT(" ")) && put(r, span_of(key)) && put(r, SPAN_LIT("="));
}

static bool put_text(struct log_record *r, struct span value)
{
    if (is_json(r))
        return put_quoted(r, value, ESCAPE_JSON);
    return needs_quotes(value) ? put_quoted(r, value, ESCAPE_QUOTED) : put(r, value);
}

static void take_back(struct log_record *r, size_t mark)
{
    r->n = mark;
    r->cut = true;
}

void log_str(struct log_record *r, const char *key, struct span value)
{
    size_t mark = r->n;
    if (r->log && !(put_key(r, key) && put_text(r, value)))
        take_back(r, mark);
}

void log_cstr(struct log_record *r, const char *key, const char *own)
{
    log_str(r, key, span_of(own));
}

static void put_number(struct log_record *r, const char *key, struct span digits)
{
    size_t mark = r->n;
    if (r->log && !(put_key(r, key) && put(r, digits)))
        take_back(r, mark);
}

void log_int(struct log_record *r, const char *key, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, value);
    put_number(r, key, span_make(text, n > 0 ? (size_t)n : 0));
}

/* JSON has no word for infinity and for what is not a number. */
void log_real(struct log_record *r, const char *key, double value)
{
    char text[32];
    if (!isfinite(value)) {
        put_number(r, key, SPAN_LIT("null"));
        return;
    }
    int n = snprintf(text, sizeof text, "%.6g", value);
    put_number(r, key, span_make(text, n > 0 ? (size_t)n : 0));
}

/* ---- lines ---- */

/* The place of the time is kept free at the start of the line; log_end fills it. */
static size_t time_at(const struct log_record *r)
{
    return is_json(r) ? sizeof "{\"time\":\"" - 1 : sizeof "time=" - 1;
}

void log_begin(struct log_record *r, struct log *l, enum log_level level, const char *event)
{
    r->log = l && log_wants(l, level) ? l : NULL;
    r->level = level;
    r->n = 0;
    r->cut = false;
    if (!r->log)
        return;
    static const char blank[TIME_WIDTH] = {0};
    bool json = is_json(r);
    bool fits = put(r, json ? SPAN_LIT("{\"time\":\"") : SPAN_LIT("time=")) &&
                put(r, span_make(blank, TIME_WIDTH)) && (!json || put(r, SPAN_LIT("\"")));
    r->cut = !fits;
    log_cstr(r, "level", level_names[level]);
    log_cstr(r, "event", event);
}

static void finish_line(struct log_record *r)
{
    struct span cut = is_json(r) ? SPAN_LIT(",\"cut\":true") : SPAN_LIT(" cut=true");
    struct span end = is_json(r) ? SPAN_LIT("}\n") : SPAN_LIT("\n");
    if (r->cut) { /* room for both was kept free by put() */
        memcpy(r->text + r->n, cut.p, cut.n);
        r->n += cut.n;
    }
    memcpy(r->text + r->n, end.p, end.n);
    r->n += end.n;
    log_write(r->log, r->level, span_make(r->text, r->n));
}

void log_end(struct log_record *r)
{
    if (!r->log)
        return;
    char now[CLOCK_TEXT];
    clock_text(clock_wall_us(), now);
    memcpy(r->text + time_at(r), now, TIME_WIDTH);
    finish_line(r);
    r->log = NULL;
}

static void plain_line(struct log_record *r, struct span text)
{
    bool fits;
    if (is_json(r))
        fits = put(r, SPAN_LIT("{\"level\":\"")) && put(r, span_of(level_names[r->level])) &&
               put(r, SPAN_LIT("\",\"msg\":\"postern: ")) && put_escaped(r, text, ESCAPE_JSON) &&
               put(r, SPAN_LIT("\""));
    else
        fits = put(r, log_names_program(r->log) ? SPAN_NONE : SPAN_LIT("postern: ")) &&
               put_escaped(r, text, ESCAPE_PLAIN);
    if (!fits) {
        r->cut = true;
        if (is_json(r))
            r->text[r->n++] = '"'; /* the string that was cut; put() kept room for it */
    }
    finish_line(r);
}

void log_plain(struct log *l, enum log_level level, const char *format, ...)
{
    if (!l || !log_wants(l, level))
        return;
    char text[PLAIN_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0)
        return;
    struct log_record r = {.log = l, .level = level};
    r.cut = (size_t)n >= sizeof text;
    plain_line(&r, span_make(text, r.cut ? sizeof text - 1 : (size_t)n));
}
