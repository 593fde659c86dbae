/* SPDX-License-Identifier: MIT */
/* The table of flags.def, by place. */
#include "filters/message.h"

static const struct message_flag_info infos[MESSAGE_FLAGS] = {
#define FLAG(name, text, help)           {text, help, NULL},
#define UNREAD(name, text, help, reason) {text, help, reason},
#include "filters/flags.def"
#undef FLAG
#undef UNREAD
};
_Static_assert(MESSAGE_FLAGS < 64, "a bit for each, and one behind them");

const struct message_flag_info *message_flag(enum message_flag f)
{
    return &infos[f];
}
