/* SPDX-License-Identifier: MIT */
/* What is asked for on the command line: the message, the policy, and the envelope that it is to have. */
#ifndef EXPLAIN_REQUEST_H
#define EXPLAIN_REQUEST_H

#include "base/attr.h"
#include "base/span.h"
#include "smtp/path.h"

#include <netinet/in.h>

#define REQUEST_RCPTS 100
#define REQUEST_WHY   200

struct request {         /* texts are argv's, or constants */
    const char *message; /* a path; "-": standard input */
    const char *config, *policy, *listener;
    const char *helo, *user; /* user "": not authenticated */
    struct path from, to[REQUEST_RCPTS];
    size_t to_n;
    char client[INET6_ADDRSTRLEN]; /* canonical */
    unsigned char ip[16];
    size_t ip_n; /* 4 or 16 */
    bool json;
};

/* false: `why` says what is wrong, or is empty when getopt has said it. */
MUST_CHECK bool request_read(int argc, char **argv, struct request *r, char why[REQUEST_WHY]);

#endif
