/* SPDX-License-Identifier: MIT */
/* Character sets to UTF-8, as a stream: the input may be cut at any byte. Lenient: what is no character
 * becomes U+FFFD, and reading goes on. Private to the message model. */
#ifndef FILTERS_CHARSET_H
#define FILTERS_CHARSET_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#include <iconv.h>
#include <stdint.h>

#define CHARSETS_MAX 128 /* rows of the table in charset.c, at most */

/* The C library's converters, opened on first use and kept for the next: a message with a thousand encoded
 * words opens each once. One decoder at a time may use a pool. */
struct charset_pool { /* zeroed: none open */
    iconv_t open[CHARSETS_MAX];
    bool is_open[CHARSETS_MAX];
};
void charset_pool_free(struct charset_pool *pool);

struct charset_decoder { /* set by charset_begin; private */
    const struct charset *charset;
    iconv_t converter;
    char held[16]; /* the start of a character that is not whole yet */
    size_t held_n;
    unsigned errors; /* what was no character */
};

bool charset_is_utf7(const struct charset_decoder *d);
/* An empty name is US-ASCII, which is read as UTF-8. false: the name is not known and
 * windows-1252 is read. */
bool charset_begin(struct charset_decoder *d, struct charset_pool *pool, struct span name);
/* Append UTF-8 to `out`. false: no memory. */
MUST_CHECK bool charset_feed(struct charset_decoder *d, struct span in, struct buf *out);
MUST_CHECK bool charset_end(struct charset_decoder *d, struct buf *out);

/* What windows-1252 has at this octet. */
uint32_t charset_windows_1252(unsigned char c);

#endif
