/* SPDX-License-Identifier: MIT */
/* HTML to the text that a reader sees, as a stream: UTF-8 in, cut anywhere, UTF-8 out. Tokens are those of
 * the WHATWG standard (13.2.5), so that nothing hides from us in what a browser takes for text. Dropped are
 * tags, comments, script, style, and elements that are made invisible by their own tag (html_hidden.h). White
 * space is one blank, a block begins a line, an image is its alt text. Private to the message model. */
#ifndef FILTERS_HTML_H
#define FILTERS_HTML_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

/* An address that an attribute, a style or a meta refresh names, as it stands there, character references
 * decoded. Borrowed for the call. */
typedef void (*html_url)(void *ctx, struct span url);

struct html;
MUST_CHECK struct html *html_create(html_url url, void *ctx);
void html_destroy(struct html **h);
/* Append to `out`. false: no memory. */
MUST_CHECK bool html_feed(struct html *h, struct span utf8, struct buf *out);
MUST_CHECK bool html_end(struct html *h, struct buf *out);
bool html_hid(const struct html *h); /* text was dropped because its element is invisible */

#endif
