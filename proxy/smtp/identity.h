/* SPDX-License-Identifier: MIT */
/* Who the client is, in XCLIENT and XFORWARD commands (Postfix's XCLIENT_README and XFORWARD_README): values
 * in xtext, IPV6: before such addresses, [UNAVAILABLE] where something is not known, no command over 512
 * octets. Pure. */
#ifndef SMTP_IDENTITY_H
#define SMTP_IDENTITY_H

#include "base/attr.h"
#include "base/span.h"

#include <stdint.h>

enum identity_verb { IDENTITY_XCLIENT = 1, IDENTITY_XFORWARD = 2 };

enum identity_attribute {
#define ATTRIBUTE(id, name, verbs) IDENTITY_##id,
#include "smtp/identity.def"
#undef ATTRIBUTE
    IDENTITY_ATTRIBUTES
};

struct identity_address {
    struct span text; /* "192.0.2.1", "2001:db8::1"; empty: not known */
    uint16_t port;    /* 0: not known */
};

struct client_identity { /* spans may be empty: not known */
    struct identity_address client, destination;
    struct span name, helo, login, session_id;
    bool esmtp;
    bool name_later; /* the name could not be looked up for now */
};

/* The attributes that a server takes, as bits, from the words behind XCLIENT or XFORWARD in its EHLO. */
uint32_t identity_offered(struct span words);

#define IDENTITY_LINE 510 /* octets, CRLF not counted */

struct identity_writer { /* zeroed, with its first three fields set */
    enum identity_verb verb;
    uint32_t offered;
    const struct client_identity *who;
    /* private */
    unsigned next;
};

/* The next command, without CRLF, in `line`. false: there is none any more. */
MUST_CHECK bool identity_next(struct identity_writer *w, char line[IDENTITY_LINE], size_t *n_r);

/* ---- as a receiver ---- */

/* What EHLO says behind XCLIENT. */
#define IDENTITY_TAKEN "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"
#define IDENTITY_VALUE 255 /* octets, decoded */

struct identity_text {
    char text[IDENTITY_VALUE];
    size_t n;
};

struct identity_end { /* of a connection */
    unsigned char ip[16];
    size_t ip_n;   /* 4 or 16, IPv4 inside IPv6 is IPv4; 0: not known */
    char text[46]; /* canonical */
    size_t text_n;
    uint16_t port; /* 0: not known */
};

struct identity_claim { /* what one XCLIENT says */
    uint32_t said;      /* 1u << enum identity_attribute; said and empty: [UNAVAILABLE] or [TEMPUNAVAIL] */
    struct identity_end client, destination;
    struct identity_text name, helo, login;
    bool esmtp;
    bool name_later; /* NAME=[TEMPUNAVAIL] */
};

enum identity_result { IDENTITY_OK, IDENTITY_BAD, IDENTITY_NO_MEMORY };

/* `words`: what follows XCLIENT. Each attribute at most once, and none but those above. */
MUST_CHECK enum identity_result identity_parse(struct span words, struct identity_claim *claim_r);

#endif
