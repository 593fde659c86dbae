/* SPDX-License-Identifier: MIT */
/* The budget of descriptors. A session that was greeted must not fail later for want of one, so there are
 * never more sessions than the limit of open files is enough for; those beyond are told 421 at once.
 *
 *   limit = own (log, channel, poller, DNS, a generation on its way)
 *         + listening sockets, twice: a reload brings the new before the old are closed
 *         + connections kept to upstreams
 *         + sessions x (client, server, file of a large body)
 *
 * Nothing here owns anything. */
#include "proxy/descriptors.h"

#include <sys/resource.h>

enum { OWN = 32, EACH = 3 };

size_t descriptors_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur > SIZE_MAX / 2)
        return SIZE_MAX / 2; /* as good as none */
    return (size_t)files.rlim_cur;
}

size_t descriptors_sessions(const struct conf *c)
{
    size_t taken = OWN, limit = descriptors_limit();
    for (size_t i = 0; i < c->listener_count; i++)
        taken += 2 * c->listeners[i].bind_count;
    for (size_t i = 0; i < c->upstream_count; i++)
        taken += c->upstreams[i].keep;
    return limit > taken ? (limit - taken) / EACH : 0;
}
