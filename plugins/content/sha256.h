/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4) of bytes that are there as a whole. */
#ifndef CONTENT_SHA256_H
#define CONTENT_SHA256_H

#include <stddef.h>
#include <stdint.h>

void sha256(const char *p, size_t n, uint8_t digest_r[32]);

#endif
