/* SPDX-License-Identifier: MIT */
/* Which elements are invisible by what their own tag says. A heuristic, and it errs towards showing: a style
 * sheet, a parent's size or position are not looked at, and an element counts as open only as long as every
 * reader of HTML has it open.
 *
 *   display: none | visibility: hidden, collapse | font-size: 0 | opacity: 0 | color: transparent
 *   color the same as background, in one tag | the attribute hidden | the element template
 *
 * Private to html.c. */
#ifndef FILTERS_HTML_HIDDEN_H
#define FILTERS_HTML_HIDDEN_H

#include "base/span.h"

#define HTML_NAME_MAX   15 /* bytes of a tag's name that are kept; a longer one is nobody's */
#define HTML_COLOUR_MAX 24

enum html_hiding {
    HTML_HIDES = 1,      /* all that is inside */
    HTML_HIDES_FONT = 2, /* these until something inside says otherwise */
    HTML_HIDES_VISIBILITY = 4,
    HTML_HIDES_COLOUR = 8
};

struct html_look {         /* what one tag says; zeroed: nothing */
    unsigned hides, shows; /* enum html_hiding */
    char colour[HTML_COLOUR_MAX], background[HTML_COLOUR_MAX];
    size_t colour_n, background_n;
};
void html_look_style(struct html_look *l, struct span style);
void html_look_colour(struct html_look *l, bool background, struct span value);

/* The open elements from the outermost invisible one on. */
#define HTML_OPEN_MAX 64 /* more: all is shown */
struct html_hidden {     /* zeroed: all is visible */
    size_t n;
    struct {
        char name[HTML_NAME_MAX];
        unsigned char name_n, hides;
    } open[HTML_OPEN_MAX];
};
void html_hidden_start(struct html_hidden *h, struct span name, unsigned kind, const struct html_look *look);
void html_hidden_end(struct html_hidden *h, struct span name);
static inline bool html_hidden_now(const struct html_hidden *h)
{
    return h->n && h->open[h->n - 1].hides;
}

#endif
