/* SPDX-License-Identifier: MIT */
/* A span is borrowed bytes with a length. It never ends in a NUL that anybody may rely on. Whoever gives one
 * says for how long it is good. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *p;
    size_t n;
};

#define SPAN_LIT(literal) ((struct span){(literal), sizeof(literal) - 1})
#define SPAN_NONE         ((struct span){NULL, 0})
/* For printf's "%.*s". */
#define SPAN_FMT(s) (int)((s).n > 4096 ? 4096 : (s).n), ((s).p ? (s).p : "")

static inline struct span span_make(const char *p, size_t n)
{
    return (struct span){p, n};
}

/* A C string of our own (a constant, an option), never one from outside. */
static inline struct span span_of(const char *own)
{
    return (struct span){own, own ? strlen(own) : 0};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
static inline char ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}
static inline bool ascii_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool ascii_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Equal but for the case of ASCII letters; no locale. */
static inline bool span_ieq(struct span a, struct span b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

static inline bool span_istarts(struct span s, struct span prefix)
{
    return s.n >= prefix.n && span_ieq((struct span){s.p, prefix.n}, prefix);
}

static inline struct span span_skip(struct span s, size_t n)
{
    if (n > s.n)
        n = s.n;
    return s.p ? (struct span){s.p + n, s.n - n} : SPAN_NONE;
}

static inline struct span span_head(struct span s, size_t n)
{
    return (struct span){s.p, n < s.n ? n : s.n};
}

static inline struct span span_trim(struct span s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = span_skip(s, 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* The place of c in s, or s.n. */
static inline size_t span_find(struct span s, char c)
{
    const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

#endif
