/* SPDX-License-Identifier: MIT */
/* Counts Received lines as content passes. Keeps nothing of it but how far a line goes on being one.
 *
 *   line start -> "Received" -> ":" counts -> line end      an empty line: what follows is the body
 */
#include "smtp/hops.h"

static const struct span name = {"received", 8};

/* An octet of a line that is not its end. */
static void take(struct hops *h, char c)
{
    bool right = h->at < name.n ? ascii_lower(c) == name.p[h->at] : c == ':';
    if (!h->other && right && h->at == name.n)
        h->count++;
    h->other = h->other || !right || h->at == name.n;
    h->at++;
}

/* CR is no part of a line's name: in front of LF it ends the line, elsewhere such content is refused anyhow.
 */
void hops_feed(struct hops *h, struct span content)
{
    for (size_t i = 0; i < content.n && !h->body; i++) {
        if (content.p[i] == '\n') {
            h->body = h->at == 0;
            h->at = 0;
            h->other = false;
        } else if (content.p[i] != '\r') {
            take(h, content.p[i]);
        }
    }
}
