/* SPDX-License-Identifier: MIT */
/* The further readings of an entity whose fields say different things: each combination of transfer encoding,
 * HTML or plain, and charset that some program may choose. The first reading is read as the bytes come; for
 * the others the bytes are kept, up to a limit. Private to the message model. */
#ifndef FILTERS_AGAIN_H
#define FILTERS_AGAIN_H

#include "filters/body.h"
#include "filters/entity.h"

#define AGAIN_READINGS 8 /* of one entity; more is MESSAGE_AMBIGUOUS */

struct again { /* zeroed: nothing is read again */
    size_t n;
    bool cut; /* there were more bytes than are kept, or more readings */
    struct body_reading list[AGAIN_READINGS];
    struct buf kept;
};

/* How the entity is read first, when it has no parts. */
struct body_reading again_first(const struct entity *e);
/* At the start of its body. The readings borrow from the entity. */
void again_begin(struct again *a, const struct entity *e);
MUST_CHECK bool again_keep(struct again *a, struct span s, size_t limit);
/* At its end: each reading is announced as one more part with the same index, and read. */
MUST_CHECK bool again_read(struct again *a, struct body *body, struct sink *sink,
                           const struct message_part *part);

#endif
