/* SPDX-License-Identifier: MIT */
/* What a name server says to a question for TLSA records. What must hold: an answer or a reason; data are
 * inside the message and within the limits; tighter limits take no more; octets behind what is read change
 * nothing, and an answer that is good when it is cut short is the whole's. */
#include "fuzz/fuzz.h"

#include "net/tlsa.h"

#define HOST "mail.example.org"

static void check_record(struct span message, const struct tlsa_record *r, size_t most)
{
    char text[64];
    REQUIRE(r->data.p >= message.p && r->data.n > 0 && r->data.n <= most);
    REQUIRE((size_t)(r->data.p - message.p) + r->data.n <= message.n);
    REQUIRE(tlsa_print(r, 8, text, sizeof text) < sizeof text);
    REQUIRE(!tlsa_well_formed(r) || (r->usage >= TLSA_DANE_TA && r->usage <= TLSA_DANE_EE));
}

/* Reads a copy of exactly its length. */
static bool read_copy(struct span in, const struct tlsa_limits *limits, struct tlsa_answer *a)
{
    uint32_t number = 0;
    struct span piece = cut_piece(&in, CUT_WHOLE, &number);
    const char *error = NULL;
    bool good = tlsa_read(piece, HOST, 25, limits, a, &error);
    REQUIRE(good == (error == NULL));
    REQUIRE(!good || a->n <= (limits ? limits->records : TLSA_RECORDS));
    for (size_t i = 0; good && i < a->n; i++)
        check_record(piece, &a->record[i], limits ? limits->data : 4096);
    free_piece(piece);
    return good;
}

static void check_same(const struct tlsa_answer *a, const struct tlsa_answer *b)
{
    REQUIRE(a->authenticated == b->authenticated && a->exists == b->exists && a->ttl_s == b->ttl_s);
    REQUIRE(a->n == b->n && a->skipped == b->skipped);
    for (size_t i = 0; i < a->n; i++)
        REQUIRE(a->record[i].usage == b->record[i].usage && a->record[i].data.n == b->record[i].data.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tlsa_limits tight = {.records = 2, .data = 40, .aliases = 1, .scanned = 6};
    struct span in = span_make((const char *)data, size);
    struct tlsa_answer whole, other;
    bool good = read_copy(in, NULL, &whole);
    if (read_copy(in, &tight, &other)) {
        REQUIRE(good && other.n <= whole.n && other.n + other.skipped == whole.n + whole.skipped);
        REQUIRE(other.ttl_s == whole.ttl_s);
    }
    for (size_t n = size < 512 ? 0 : size; n < size; n++)
        if (read_copy(span_head(in, n), NULL, &other)) {
            REQUIRE(good);
            check_same(&other, &whole);
        }
    return 0;
}
