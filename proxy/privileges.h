/* SPDX-License-Identifier: MIT */
/* What a worker gives up before it reads the first byte of a stranger. */
#ifndef PROXY_PRIVILEGES_H
#define PROXY_PRIVILEGES_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct identity {
    bool change; /* the process is root, and workers become somebody else */
    uid_t uid;
    gid_t gid;
    bool borrows_addresses; /* its connections may come from addresses of clients: keeps CAP_NET_RAW */
};

/* Whom workers run as. false with the reason in `error`: no such user. A process that is not root stays who
 * it is. */
MUST_CHECK bool privileges_find(const char *user, struct identity *id_r, char *error, size_t error_size);
/* No core dump of this process, which will hold keys and passwords. Again after a change of user. */
MUST_CHECK bool privileges_no_core(char *error, size_t error_size);
/* In the worker, for good: user and groups, no new privileges, no core dumps, and the end with `parent`. */
MUST_CHECK bool privileges_drop(const struct identity *id, pid_t parent, char *error, size_t error_size);
/* As many descriptors as the system allows; what cannot be had is done without. */
void privileges_raise_files(void);

#endif
