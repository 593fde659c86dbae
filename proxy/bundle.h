/* SPDX-License-Identifier: MIT */
/* A bundle: the bytes of every file that a generation read, and the answers to its patterns, in one sealed
 * memory. The supervisor writes it down while it checks a configuration from the disk; workers, which have no
 * access to files, build the same configuration from it.
 *
 *   disk --source--> recorder --source--> conf_load, plugins, certificates        (supervisor)
 *                       | bundle_seal: memfd
 *                       v
 *   bundle_open --source--> conf_load, plugins, certificates                     (worker) */
#ifndef PROXY_BUNDLE_H
#define PROXY_BUNDLE_H

#include "base/attr.h"
#include "conf/conf.h"

#define BUNDLE_FILES_MAX 4096                        /* files and patterns together */
#define BUNDLE_BYTES_MAX ((size_t)256 * 1024 * 1024) /* in all */

struct recorder; /* keeps what was read until it is destroyed */

/* `from` must outlive the recorder. Each file is read once, however often it is asked for. NULL: no memory.
 */
MUST_CHECK struct recorder *recorder_create(const struct conf_source *from);
void recorder_destroy(struct recorder **r);
const struct conf_source *recorder_source(struct recorder *r);
/* A sealed memfd with everything read so far. -1: no memory, with errno. */
MUST_CHECK int bundle_seal(const struct recorder *r);

struct bundle;
/* Maps and checks it; the fd stays the caller's. NULL with the reason in `error`. */
MUST_CHECK struct bundle *bundle_open(int fd, char *error, size_t error_size);
void bundle_close(struct bundle **b);
const struct conf_source *bundle_source(const struct bundle *b); /* spans live as long as the bundle */

#endif
