/* SPDX-License-Identifier: MIT */
/* The PROXY header by which an upstream's connection names the client that it is for. */
#ifndef PROXY_PREFACE_H
#define PROXY_PREFACE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"
#include "conf/conf.h"
#include "net/conn.h"

/* Appends the header that `identity` asks for; nothing for the other methods. `client` may be gone (NULL):
 * then nobody is named. false: no memory. */
MUST_CHECK bool preface_print(enum conf_identity identity, const struct conn *client, struct span session_id,
                              struct buf *out);

#endif
