/* SPDX-License-Identifier: MIT */
/* Paths and parameters, whatever the server offered: four octets say what, one says MAIL or RCPT, the rest is
 * the argument, and once more the parameters alone. See envelope.h for what must hold. */
#include "fuzz/envelope.h"

#define HEAD 5u

static uint32_t offered(const uint8_t *head)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < 4; i++)
        bits |= (uint32_t)head[i] << (8 * i);
    return bits & (uint32_t)CAP_ALL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    struct buf trace = {0};
    struct span all = span_make((const char *)data + HEAD, size - HEAD);
    uint32_t number = 0, caps = offered(data);
    bool mail = data[4] & 1;
    struct span arg = cut_piece(&all, CUT_WHOLE, &number); /* of exactly its length */
    check_path(arg, mail, caps, &trace);
    check_params(arg, mail ? PARAMS_OF_MAIL : PARAMS_OF_RCPT, caps, &trace);
    free_piece(arg);
    buf_free(&trace);
    return 0;
}
