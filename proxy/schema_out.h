/* SPDX-License-Identifier: MIT */
/* postern --schema: the JSON Schema of configurations, with the options of the plugins at hand. */
#ifndef PROXY_SCHEMA_OUT_H
#define PROXY_SCHEMA_OUT_H

#include "base/attr.h"
#include "base/buf.h"

/* Plugins are those in the folder "plugins" beside the program, or else in the default one. false: no memory.
 */
MUST_CHECK bool schema_out(struct buf *out);

#endif
