/* SPDX-License-Identifier: MIT */
/* wrong_abi: a plugin of the next major. It must not be loaded, and the error says what to do. */
#include "postern/filter.h"

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR + 1,
    .abi_minor = 0,
    .size = sizeof(struct postern_filter),
    .name = "wrong_abi",
};
