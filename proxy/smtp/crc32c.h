/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli), which PROXY headers of version 2 may carry. */
#ifndef SMTP_CRC32C_H
#define SMTP_CRC32C_H

#include "base/span.h"

#include <stdint.h>

/* The sum so far (0 at first) and more octets. */
uint32_t crc32c(uint32_t sum, struct span s);

#endif
