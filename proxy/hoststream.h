/* SPDX-License-Identifier: MIT */
/* Byte streams for filters: a target as text, one deadline for getting there, bytes both ways. */
#ifndef PROXY_HOSTSTREAM_H
#define PROXY_HOSTSTREAM_H

#include "proxy/hostsvc.h"

#define HOSTSTREAM_UNSENT_MAX ((size_t)1024 * 1024)
#define HOSTSTREAM_CONNECT_US 5000000u /* when the filter names no deadline */

struct hoststreams; /* all of one generation, and the TLS contexts that they use */

MUST_CHECK struct hoststreams *hoststreams_create(const struct hostsvc_env *env);
void hoststreams_destroy(struct hoststreams **h);

struct postern_stream *hoststream_open(struct hoststreams *h, const struct postern_stream_target *to,
                                       const struct postern_stream_events *events, void *arg);
int hoststream_write(struct postern_stream *s, struct postern_span bytes);
void hoststream_close(struct postern_stream *s);

#define HOSTSTREAM_HOST_MAX 255
struct hoststream_target {
    char host[HOSTSTREAM_HOST_MAX + 1]; /* port 0: the path of a Unix socket */
    uint16_t port;
};
/* "127.0.0.1:6379", "[::1]:6379", "redis.example:6379", "/run/redis.sock". */
MUST_CHECK bool hoststream_parse(struct span text, struct hoststream_target *out_r);

#endif
