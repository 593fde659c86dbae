/* SPDX-License-Identifier: MIT */
/* "127.0.0.1:25", "[::1]:25", "mail.example.org:25" -> struct conf_address. */
#ifndef CONF_ADDRESS_H
#define CONF_ADDRESS_H

#include "conf/conf.h"

/* False: *error_r (C string) says what is wrong; NULL there: no memory. Texts are copied into the arena. */
MUST_CHECK bool address_parse(struct arena *a, struct span text, struct conf_address *address_r,
                              const char **error_r);

/* "25". False: not a number from 1 to 65535. */
MUST_CHECK bool address_port(struct span text, uint16_t *port_r);

/* What two ways of writing one literal address and port have in common. */
struct address_key {
    unsigned char ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};
/* False: the host is a name. */
MUST_CHECK bool address_key(const struct conf_address *address, struct address_key *key_r);

#endif
