/* SPDX-License-Identifier: MIT */
/* The argument of BDAT (RFC 3030 2): "chunk-size [SP LAST]". Pure. */
#ifndef SMTP_BDAT_H
#define SMTP_BDAT_H

#include "base/attr.h"
#include "base/span.h"

#include <stdint.h>

struct bdat {
    uint64_t size; /* octets that follow the command line, at most BDAT_SIZE_MAX */
    bool last;
};

/* Nobody sends more in one chunk, and sums of two such sizes do not overflow. */
#define BDAT_SIZE_MAX (UINT64_C(1) << 62)

/* false: nobody can tell where the payload ends. */
MUST_CHECK bool bdat_parse(struct span argument, struct bdat *out);

#endif
