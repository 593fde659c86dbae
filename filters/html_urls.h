/* SPDX-License-Identifier: MIT */
/* Addresses inside the values of attributes. Private to html.c. */
#ifndef FILTERS_HTML_URLS_H
#define FILTERS_HTML_URLS_H

#include "filters/html.h"

void html_urls_of_srcset(struct span v, html_url url, void *ctx); /* "small.png 1x, large.png 2x" */
void html_urls_of_style(struct span v, html_url url, void *ctx);  /* every url(…) */
void html_url_of_refresh(struct span v, html_url url, void *ctx); /* "5; url=http://…" */

#endif
