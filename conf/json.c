/* SPDX-License-Identifier: MIT */
/* JSON out. No tree: members are written as they come, and a failure is remembered until the end, so that the
 * caller asks once. Owns nothing; the buffer is the caller's. */
#include "conf/json.h"

static void put(struct json *j, struct span s)
{
    j->ok = j->ok && buf_append(j->out, s);
}

/* A control character at i, those of U+0080 to U+009F included: how many octets it has; else 0. */
static size_t control_at(struct span s, size_t i, unsigned *c_r)
{
    unsigned char c = (unsigned char)s.p[i], next = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
    bool pair = c == 0xC2 && next >= 0x80 && next <= 0x9F;
    *c_r = pair ? next : c;
    return pair ? 2 : c < 0x20 || c == 0x7F ? 1 : 0;
}

/* Terminals obey controls, so they are escaped, also where JSON would let them stand. */
static void put_quoted(struct json *j, struct span s)
{
    put(j, SPAN_LIT("\""));
    for (size_t i = 0; j->ok && i < s.n; i++) {
        unsigned c;
        size_t control = control_at(s, i, &c);
        if (c == '"' || c == '\\')
            put(j, SPAN_LIT("\\"));
        if (control) {
            j->ok = j->ok && buf_printf(j->out, "\\u%04x", c);
            i += control - 1;
        } else {
            put(j, span_make(s.p + i, 1));
        }
    }
    put(j, SPAN_LIT("\""));
}

static void new_line(struct json *j)
{
    j->ok = j->ok && buf_printf(j->out, "\n%*s", 2 * j->depth, "");
}

static void begin(struct json *j, const char *key)
{
    if (j->begun)
        put(j, SPAN_LIT(","));
    if (j->depth)
        new_line(j);
    j->begun = true;
    if (key == NULL)
        return;
    put_quoted(j, span_of(key));
    put(j, SPAN_LIT(": "));
}

void json_open(struct json *j, const char *key, char bracket)
{
    begin(j, key);
    put(j, span_make(&bracket, 1));
    j->depth++;
    j->begun = false;
}

void json_close(struct json *j, char bracket)
{
    j->depth--;
    if (j->begun)
        new_line(j);
    put(j, span_make(&bracket, 1));
    j->begun = true;
}

void json_string(struct json *j, const char *key, struct span value)
{
    begin(j, key);
    put_quoted(j, value);
}

void json_text(struct json *j, const char *key, const char *own)
{
    json_string(j, key, span_of(own));
}

void json_number(struct json *j, const char *key, double value)
{
    begin(j, key);
    j->ok = j->ok && buf_printf(j->out, "%.15g", value);
}

void json_bool(struct json *j, const char *key, bool value)
{
    begin(j, key);
    put(j, value ? SPAN_LIT("true") : SPAN_LIT("false"));
}
