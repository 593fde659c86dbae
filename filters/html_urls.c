/* SPDX-License-Identifier: MIT */
/* Each goes over its value once. Nothing is owned. */
#include "filters/html_urls.h"

#include "filters/html_tag.h"

static void give(struct span s, html_url url, void *ctx)
{
    if (s.n)
        url(ctx, s);
}

static struct span trim(struct span s)
{
    while (s.n && html_space(s.p[0]))
        s = span_skip(s, 1);
    while (s.n && html_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

void html_urls_of_srcset(struct span v, html_url url, void *ctx)
{
    while (v.n) {
        size_t n = 0;
        while (v.n && (html_space(v.p[0]) || v.p[0] == ','))
            v = span_skip(v, 1);
        while (n < v.n && !html_space(v.p[n]))
            n++;
        give(span_head(v, n), url, ctx);
        v = span_skip(v, n);
        v = span_skip(v, span_find(v, ','));
    }
}

void html_urls_of_style(struct span v, html_url url, void *ctx)
{
    while (v.n) {
        if (!span_istarts(v, SPAN_LIT("url("))) {
            v = span_skip(v, 1);
            continue;
        }
        v = span_skip(v, 4);
        size_t n = span_find(v, ')');
        struct span inside = trim(span_head(v, n));
        if (inside.n >= 2 && (inside.p[0] == '"' || inside.p[0] == '\''))
            inside = span_head(span_skip(inside, 1), inside.n - 2);
        give(inside, url, ctx);
        v = span_skip(v, n);
    }
}

void html_url_of_refresh(struct span v, html_url url, void *ctx)
{
    while (v.n && !span_istarts(v, SPAN_LIT("url")))
        v = span_skip(v, 1);
    v = trim(span_skip(v, 3));
    if (v.n && v.p[0] == '=')
        v = trim(span_skip(v, 1));
    if (v.n && (v.p[0] == '"' || v.p[0] == '\''))
        v = span_head(span_skip(v, 1), span_find(span_skip(v, 1), v.p[0]));
    give(v, url, ctx);
}
