/* SPDX-License-Identifier: MIT */
/* A pin: the SHA-256 of a public key, as 64 hexadecimal digits or as base64. */
#ifndef CONF_PIN_H
#define CONF_PIN_H

#include "conf/conf.h"

/* False: it is neither of the two. */
MUST_CHECK bool pin_parse(struct span text, unsigned char pin_r[CONF_PIN]);

#endif
