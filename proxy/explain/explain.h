/* SPDX-License-Identifier: MIT */
/* `postern explain FILE`: one message through the filters of a policy, offline, and what an administrator
 * wants to know of it. Nothing is bound, nobody is connected to or asked, and no message goes anywhere. */
#ifndef EXPLAIN_EXPLAIN_H
#define EXPLAIN_EXPLAIN_H

#include "base/attr.h"

/* The command with its own words: argv[0] is "explain". Returns the exit code: 0 accepted, 1 refused,
 * deferred or discarded, 2 the command line (or the message's file) is wrong, 78 the configuration has
 * errors. */
MUST_CHECK int explain_main(int argc, char **argv);

#define EXPLAIN_USAGE                                                                                        \
    "       postern explain FILE -c CONFIG [--policy NAME | --listener NAME] [--from ADDR] [--to ADDR]...\n" \
    "               [--client IP] [--helo NAME] [--user NAME] [--json]\n"

#endif
