/* SPDX-License-Identifier: MIT */
/* "192.0.2.0/24", "2001:db8::/32", "192.0.2.1" -> struct network. */
#ifndef CONF_NETWORK_H
#define CONF_NETWORK_H

#include "base/attr.h"
#include "base/network.h"
#include "base/span.h"

/* False: *error_r says what is wrong, as the end of a sentence that begins with the text. An address alone is
 * one host; bits behind the prefix's end are an error, for nobody knows what was meant. Matching is
 * networks_have(), base/network.h. */
MUST_CHECK bool network_parse(struct span text, struct network *network_r, const char **error_r);

#endif
