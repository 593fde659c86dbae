/* SPDX-License-Identifier: MIT */
/* The names inside an archive that is in memory: zip, tar, gzip, rar, 7z, iso 9660, and archives inside of
 * them one level deep. libarchive reads; nothing is written anywhere. Bounded in members, in the length of
 * names and in what is unpacked, and so in time. Private to the message model. */
#ifndef FILTERS_ARCHIVE_H
#define FILTERS_ARCHIVE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>

struct archive_limits {
    size_t members;    /* names told */
    size_t name_bytes; /* of one; the rest is cut */
    size_t unpacked;   /* bytes unpacked in all, for the outer layer of .tar.gz and for archives inside */
};

/* One name as it was written, borrowed. An archive inside is "inner.zip/name". false: stop. */
typedef bool (*archive_member)(void *ctx, struct span name);
/* Returns MESSAGE_ARCHIVE_… flags. `cut`: the archive is longer than these bytes, so that a missing end is
 * no fault of it. */
uint64_t archive_names(struct span bytes, bool cut, const struct archive_limits *limits,
                       archive_member member, void *ctx);

#endif
