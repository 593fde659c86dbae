/* SPDX-License-Identifier: MIT */
/* What a probe has learned of a server. Plain data: asked for by probe.c and ways.c, read by the report, the
 * JSON and the advice. All texts are NUL-terminated printable ASCII, fit for a terminal; "" is not known. */
#ifndef PROBE_FACTS_H
#define PROBE_FACTS_H

#include "net/tls.h"
#include "smtp/ehlo.h"

#define FACTS_TEXT    240
#define FACTS_LINES   64
#define FACTS_ADDRESS 56

/* Software whose configuration the advice knows. */
enum facts_kind {
    FACTS_POSTFIX,
    FACTS_EXIM,
    FACTS_DOVECOT,
    FACTS_OPENSMTPD,
    FACTS_KINDS,
    FACTS_UNKNOWN = FACTS_KINDS
};

/* The ways in which a server can hear who the client is. */
enum facts_way_name { FACTS_XCLIENT, FACTS_XFORWARD, FACTS_PROXY_V2, FACTS_PROXY_V1, FACTS_WAYS };

enum facts_outcome {
    FACTS_NOT_TRIED, /* detail: why */
    FACTS_WORKS,
    FACTS_NOT_OFFERED,
    FACTS_NOT_EXPECTED, /* PROXY: the server talks without a header */
    FACTS_REFUSED,      /* detail: the reply */
    FACTS_FAILED        /* detail: what came instead of a reply */
};

struct facts_way {
    enum facts_outcome outcome;
    bool in_tls; /* offered only there, or tried only there */
    char attributes[FACTS_TEXT];
    char detail[FACTS_TEXT];
};

struct facts_offer { /* the answer to EHLO */
    bool given;
    size_t n, left_out; /* lines kept, lines beyond FACTS_LINES */
    char line[FACTS_LINES][FACTS_TEXT];
    struct ehlo ehlo;
};

enum facts_tls_state { FACTS_TLS_NOT_OFFERED, FACTS_TLS_NOT_ASKED, FACTS_TLS_WORKS, FACTS_TLS_FAILED };

struct facts_tls {
    enum facts_tls_state state;
    bool implicit;
    char version[16], cipher[64];
    char error[FACTS_TEXT]; /* FAILED */
    bool shown;             /* certificate is set */
    struct tls_shown_info certificate;
};

struct facts {
    char host[FACTS_TEXT]; /* as asked for, without port and brackets */
    uint16_t port;
    char server[FACTS_ADDRESS],
        server_ip[FACTS_ADDRESS]; /* reached: with the port, without; "": not reached */
    char own_ip[FACTS_ADDRESS];   /* our end, as the server sees it */
    bool smtp;                    /* it has greeted as an SMTP server does */
    char error[FACTS_TEXT];       /* why there is no more to tell */
    unsigned greeting_code;
    char greeting[FACTS_TEXT];        /* its first line, with the code */
    const char *verb;                 /* "EHLO", "LHLO" (it speaks LMTP) or "HELO" was answered; NULL: none */
    struct facts_offer clear, secure; /* before and in TLS */
    struct facts_tls tls;
    struct facts_way ways[FACTS_WAYS];
    enum facts_kind kind;
    const char *kind_by; /* what told it: "its greeting" */
};

/* "xclient", as in `identity`. */
const char *facts_way_word(enum facts_way_name way);
/* Some way of PROXY works, and so the server does not talk without it. */
static inline bool facts_behind_proxy(const struct facts *f)
{
    return f->ways[FACTS_PROXY_V2].outcome == FACTS_WORKS || f->ways[FACTS_PROXY_V1].outcome == FACTS_WORKS;
}
/* The server's speech is LMTP. */
bool facts_lmtp(const struct facts *f);
/* Chain, dates and the name (`host`) of the certificate are good. */
bool facts_name_good(const struct facts *f);
/* The offer that clients would be served from: within TLS where that works. */
const struct facts_offer *facts_offer_of(const struct facts *f);
/* Is the line among the offer's? */
bool facts_offers(const struct facts_offer *o, const char *line);
/* The first DNS name among the certificate's names that can be written into `verify`; its length, 0: none. */
struct span facts_certified_name(const struct facts *f);

#endif
