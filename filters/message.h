/* SPDX-License-Identifier: MIT */
/* The message model: content in pieces -> header fields, parts, decoded text. Pure, push, bounded; decoded
 * once for all filters. The input may be cut at any byte and the events are the same, but for where TEXT and
 * HTML are cut.
 *
 *   content -> header section -> fields (unfolded, RFC 2047 decoded)
 *           -> MIME structure -> parts -> transfer decoding -> charset -> UTF-8 text */
#ifndef FILTERS_MESSAGE_H
#define FILTERS_MESSAGE_H

#include "base/attr.h"
#include "base/span.h"

#include <stdint.h>

struct message_limits {     /* 0 takes the default */
    size_t header_bytes;    /* of one header section: 256 KiB */
    size_t field_bytes;     /* of one field, decoded: three times header_bytes; the rest is cut and flagged */
    uint32_t depth;         /* nested multiparts and messages: 20 */
    uint32_t parts;         /* 1000 */
    uint64_t decoded_bytes; /* of all bodies in all readings: 512 MiB */
    uint32_t urls;          /* 10000 */
    size_t url_bytes;       /* of one: 2048; the rest is cut */
    size_t reading_bytes;   /* of a part that can be read in several ways: 1 MiB; more is ambiguous */
    size_t archive_bytes;   /* of an archive, kept, and unpacked of it: 4 MiB; the rest is not looked at */
    uint32_t members;       /* names in one archive: 1000 */
    size_t member_bytes;    /* of one name: 1024 */
};

/* What is not as it should be: flags.def has the list. A set of them is a uint64_t of MESSAGE_… */
enum message_flag {
#define FLAG(name, text, help)           MESSAGE_FLAG_##name,
#define UNREAD(name, text, help, reason) MESSAGE_FLAG_##name,
#include "filters/flags.def"
#undef FLAG
#undef UNREAD
    MESSAGE_FLAGS
};
enum message_flags {
#define FLAG(name, text, help)           MESSAGE_##name = 1ull << MESSAGE_FLAG_##name,
#define UNREAD(name, text, help, reason) MESSAGE_##name = 1ull << MESSAGE_FLAG_##name,
#include "filters/flags.def"
#undef FLAG
#undef UNREAD
    MESSAGE_FLAGS_END = 1ull << MESSAGE_FLAGS
};
struct message_flag_info {
    const char *name; /* "bad-base64" */
    const char *help;
    const char *unread; /* why a message with it is not let through unread, for the client; NULL: it is */
};
const struct message_flag_info *message_flag(enum message_flag f);

struct message_part {
    uint32_t index, depth;
    struct span type, filename;
    struct span declared, detected, charset, disposition; /* see struct postern_part */
};

/* Spans are borrowed for the call. field: of the message's own header section only (depth 0); those of parts
 * and of messages inside come with part_field, before their part. Functions but headers_end may be NULL. */
struct message_events {
    void (*field)(void *ctx, struct span name, struct span value, struct span raw);
    void (*headers_end)(void *ctx);
    void (*part)(void *ctx, const struct message_part *part);
    void (*text)(void *ctx, const struct message_part *part, struct span utf8);
    void (*part_field)(void *ctx, const struct message_part *part, struct span name, struct span value,
                       struct span raw);
    /* A piece of an HTML part with its markup. */
    void (*html)(void *ctx, const struct message_part *part, struct span utf8);
    void (*url)(void *ctx, const struct message_part *part, struct span url);
    /* The name of a file inside an archive. */
    void (*member)(void *ctx, const struct message_part *part, struct span name);
    /* Once per part; `part` is NULL for what the message's header section raises. */
    void (*flag)(void *ctx, const struct message_part *part, enum message_flag flag);
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
uint64_t message_flags(const struct message *m); /* all that were raised so far */

#endif
