/* SPDX-License-Identifier: MIT */
/* The PROXY header by which an upstream's connection names the client that it is for. */
#ifndef PROXY_PREFACE_H
#define PROXY_PREFACE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "smtp/proxyproto.h"

struct preface_client {
    const struct conn *conn;
    const struct proxy_header *front; /* what a proxy in front said of it; NULL: nothing */
    struct span session_id;
};

/* Appends the header that `identity` asks for; nothing for the other methods. false: no memory. */
MUST_CHECK bool preface_print(enum conf_identity identity, const struct preface_client *client,
                              struct buf *out);

#endif
