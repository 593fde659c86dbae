/* SPDX-License-Identifier: MIT */
/* TLSA records (RFC 6698): what a domain's DNS says of the certificate of its server. The question and the
 * answer in the form of the wire (RFC 1035). Pure: bytes in, bytes out. */
#ifndef NET_TLSA_H
#define NET_TLSA_H

#include "base/attr.h"
#include "base/span.h"

#include <stdint.h>

enum tlsa_usage { TLSA_PKIX_TA, TLSA_PKIX_EE, TLSA_DANE_TA, TLSA_DANE_EE };
enum tlsa_selector { TLSA_CERTIFICATE, TLSA_KEY }; /* the whole, or its SubjectPublicKeyInfo */
enum tlsa_matching { TLSA_WHOLE, TLSA_SHA256, TLSA_SHA512 };

struct tlsa_record { /* numbers as they came: others than those above are possible */
    uint8_t usage, selector, matching;
    struct span data;
};

#define TLSA_RECORDS 16
struct tlsa_limits { /* 0: the default */
    size_t records;  /* of an answer, at most and by default TLSA_RECORDS; more are skipped */
    size_t data;     /* octets of one: 4096; a longer one is skipped */
    size_t aliases;  /* CNAMEs on the way to the records: 8; more are an error */
    size_t scanned;  /* records of all types in the sections that are read: 128; more are an error */
};

struct tlsa_answer {
    bool authenticated; /* AD: the resolver has checked the signatures, also of "there are none" */
    bool exists;        /* false: NXDOMAIN */
    uint32_t ttl_s;     /* the smallest on the way; of "there are none" what its SOA says (RFC 2308), or 0 */
    size_t n, skipped;
    struct tlsa_record record[TLSA_RECORDS]; /* data: inside the message */
};

/* The question for _PORT._tcp.HOST, with AD (RFC 6840 5.7: "tell me whether it is authenticated") and EDNS.
 * Returns its length; 0: the host is no name that DNS could know. */
#define TLSA_QUERY_MAX 512
size_t tlsa_query(const char *host, uint16_t port, uint16_t id, unsigned char out[TLSA_QUERY_MAX]);

/* Reads the answer to that question. false with the reason: it failed (SERVFAIL and the like), it is none, or
 * it answers something else. */
MUST_CHECK bool tlsa_read(struct span message, const char *host, uint16_t port,
                          const struct tlsa_limits *limits, struct tlsa_answer *answer_r,
                          const char **error_r);

/* Could any certificate match it, as SMTP uses them? Usages 0 and 1 are for clients with a list of
 * authorities that all agree on (RFC 7672 3.1.3); numbers that nobody knows and digests of a wrong length
 * match nothing. Whether data that is to be a certificate or a key is one, OpenSSL says (tls_dane_usable). */
bool tlsa_well_formed(const struct tlsa_record *r);

/* "3 1 1 0a1b…", the data cut after `octets` of it. Returns the length, less than size. */
size_t tlsa_print(const struct tlsa_record *r, size_t octets, char *out, size_t size);

#endif
