/* SPDX-License-Identifier: MIT */
/* XCLIENT from a proxy in front: what is taken is within its limits and has no control octet; said again by
 * us it is taken again, over as many commands as it needs, and means the same. */
#include "fuzz/fuzz.h"

#include "smtp/identity.h"

static struct span text_of(const struct identity_text *t)
{
    return span_make(t->text, t->n);
}

static void check_text(const struct identity_text *t)
{
    REQUIRE(t->n <= IDENTITY_VALUE);
    for (size_t i = 0; i < t->n; i++)
        REQUIRE((unsigned char)t->text[i] >= 0x20 && t->text[i] != 0x7F);
}

static void check_end(const struct identity_end *e)
{
    REQUIRE(e->ip_n == 0 || e->ip_n == 4 || e->ip_n == 16);
    REQUIRE((e->ip_n == 0) == (e->text_n == 0) && e->text_n < sizeof e->text);
}

static void check_same_end(const struct identity_end *a, const struct identity_end *b)
{
    REQUIRE(a->ip_n == b->ip_n && memcmp(a->ip, b->ip, a->ip_n) == 0 && a->port == b->port);
    REQUIRE(span_eq(span_make(a->text, a->text_n), span_make(b->text, b->text_n)));
}

/* A text that is too long in xtext is not said at all. */
static void check_same_text(const struct identity_text *a, const struct identity_text *b)
{
    REQUIRE(span_eq(text_of(a), text_of(b)) || (b->n == 0 && a->n > IDENTITY_VALUE / 3));
}

/* What one command says goes over to what all of them say. */
static void merge(struct identity_claim *all, const struct identity_claim *one)
{
    REQUIRE(!(all->said & one->said));
#define TAKE(attribute, field)                                                                               \
    if (one->said & 1u << IDENTITY_##attribute)                                                              \
    all->field = one->field
    TAKE(NAME, name);
    TAKE(HELO, helo);
    TAKE(LOGIN, login);
    TAKE(PROTO, esmtp);
    TAKE(PORT, client.port);
    TAKE(DESTPORT, destination.port);
#undef TAKE
    uint16_t port = all->client.port, destination_port = all->destination.port;
    if (one->said & 1u << IDENTITY_ADDR)
        all->client = one->client;
    if (one->said & 1u << IDENTITY_DESTADDR)
        all->destination = one->destination;
    all->client.port = port;
    all->destination.port = destination_port;
    all->said |= one->said;
}

static void say_again(const struct identity_claim *c)
{
    struct client_identity who = {
        .client = {span_make(c->client.text, c->client.text_n), c->client.port},
        .destination = {span_make(c->destination.text, c->destination.text_n), c->destination.port},
        .name = text_of(&c->name),
        .helo = text_of(&c->helo),
        .login = text_of(&c->login),
        .esmtp = c->esmtp,
    };
    struct identity_writer w = {
        .verb = IDENTITY_XCLIENT, .offered = identity_offered(SPAN_LIT(IDENTITY_TAKEN)), .who = &who};
    struct identity_claim again = {0}, one;
    char line[IDENTITY_LINE];
    size_t n;
    while (identity_next(&w, line, &n)) {
        REQUIRE(identity_parse(span_skip(span_make(line, n), sizeof("XCLIENT")), &one) == IDENTITY_OK);
        merge(&again, &one);
    }
    REQUIRE(again.said == w.offered && again.esmtp == c->esmtp);
    check_same_end(&c->client, &again.client);
    check_same_end(&c->destination, &again.destination);
    check_same_text(&c->name, &again.name);
    check_same_text(&c->helo, &again.helo);
    check_same_text(&c->login, &again.login);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t number = 0;
    struct span all = span_make((const char *)data, size);
    struct span in = cut_piece(&all, CUT_WHOLE, &number);
    struct identity_claim c;
    if (identity_parse(in, &c) == IDENTITY_OK) {
        REQUIRE(c.said);
        check_end(&c.client);
        check_end(&c.destination);
        check_text(&c.name);
        check_text(&c.helo);
        check_text(&c.login);
        say_again(&c);
    }
    free_piece(in);
    return 0;
}
