/* SPDX-License-Identifier: MIT */
/* Addresses (URLs): found in text, and written as a browser understands them (WHATWG URL): what it ignores is
 * gone, so that http:\\user@3232235777\a, with a tab inside, is http://192.168.1.1/a. International names
 * stay as they are written. Private to the message model. */
#ifndef FILTERS_URL_H
#define FILTERS_URL_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

/* Appends the plain form; nothing for what leads nowhere by itself (a path, #place, mailto:, cid:, an image
 * as data:). At most `max` bytes of it. false: no memory. *cut_r: it is longer. */
MUST_CHECK bool url_plain(struct span raw, size_t max, struct buf *out, bool *cut_r);

/* Finds scheme://… and www.… in text that may be cut anywhere. */
struct url_finder { /* zeroed: begun */
    struct buf url; /* what is read of one; empty: none */
    bool too_long;
    char scheme[32]; /* the letters before this place, the last ones */
    size_t scheme_n;
    unsigned slashes; /* of "://" */
};
/* One found, without what ends the sentence around it. false: no memory. */
typedef bool (*url_found)(void *ctx, struct span url, bool cut);
MUST_CHECK bool url_find(struct url_finder *f, struct span text, size_t max, url_found found, void *ctx);
MUST_CHECK bool url_find_end(struct url_finder *f, url_found found, void *ctx);
void url_finder_free(struct url_finder *f);

#endif
