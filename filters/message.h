/* SPDX-License-Identifier: MIT */
/* The message model: content in pieces -> header fields, parts, decoded text. Pure, push, bounded; decoded
 * once for all filters. The input may be cut at any byte and the events are the same, but for where TEXT is
 * cut.
 *
 *   content -> header section -> fields (unfolded, RFC 2047 decoded)
 *           -> MIME structure -> parts -> transfer decoding -> charset -> UTF-8 text */
#ifndef FILTERS_MESSAGE_H
#define FILTERS_MESSAGE_H

#include "base/attr.h"
#include "base/span.h"

#include <stdint.h>

struct message_limits {  /* 0 takes the default */
    size_t header_bytes; /* of one header section: 256 KiB */
    size_t field_bytes;  /* of one field, decoded: three times header_bytes; the rest is cut and flagged */
    uint32_t depth;      /* nested multiparts and messages: 20 */
    uint32_t parts;      /* 1000 */
};

enum message_flags { /* what is not as it should be */
                     MESSAGE_HEADER_LIMIT = 1,
                     MESSAGE_FIELD_LIMIT = 2,
                     MESSAGE_DEPTH_LIMIT = 4,
                     MESSAGE_PART_LIMIT = 8,
                     MESSAGE_BAD_BASE64 = 16,
                     MESSAGE_BAD_QP = 32,
                     MESSAGE_CHARSET_UNKNOWN = 64,
                     MESSAGE_NO_CLOSING_BOUNDARY = 128,
                     MESSAGE_DUP_CONTENT_TYPE = 256,
                     MESSAGE_BAD_HEADER =
                         512, /* a line in the header section that is no field, or an odd one */
                     MESSAGE_ODD_ENCODING =
                         1024, /* a transfer encoding that is unknown, doubled, or that of a multipart */
                     MESSAGE_ODD_BOUNDARY = 2048, /* a line that begins like a boundary and goes on */
                     MESSAGE_AMBIGUOUS = 4096     /* programs differ in how it is decoded; read in one way */
};
/* With one of these a reader may see what the events did not show. */
#define MESSAGE_UNREAD                                                                                       \
    (MESSAGE_HEADER_LIMIT | MESSAGE_FIELD_LIMIT | MESSAGE_DEPTH_LIMIT | MESSAGE_PART_LIMIT |                 \
     MESSAGE_AMBIGUOUS)

struct message_part {
    uint32_t index, depth;
    struct span type, filename;
};

/* Spans are borrowed for the call. Fields of the message's own header section only (depth 0); those of parts
 * show in message_part. */
struct message_events {
    void (*field)(void *ctx, struct span name, struct span value, struct span raw);
    void (*headers_end)(void *ctx);
    void (*part)(void *ctx, const struct message_part *part);
    void (*text)(void *ctx, const struct message_part *part, struct span utf8);
};

struct message;
MUST_CHECK struct message *message_create(const struct message_limits *limits,
                                          const struct message_events *events, void *ctx);
void message_destroy(struct message **m);
/* Takes from *in; stops right after headers_end (so that the caller may wait there) or at the end of *in.
 * false: no memory; the message cannot be read any further. */
MUST_CHECK bool message_feed(struct message *m, struct span *in);
/* The content is over. When the header section was still open it ends now, and the call stops behind
 * headers_end as message_feed does: call again. */
MUST_CHECK bool message_end(struct message *m);
unsigned message_flags(const struct message *m);

#endif
