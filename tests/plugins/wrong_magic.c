/* SPDX-License-Identifier: MIT */
/* wrong_magic: exports the symbol, but not a descriptor of ours. It must not be loaded. */
#include "postern/filter.h"

const struct postern_filter postern_filter = {
    .magic = 0x6d696c74u,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "wrong_magic",
};
