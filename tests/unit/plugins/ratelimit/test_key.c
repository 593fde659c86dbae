/* SPDX-License-Identifier: MIT */
/* Keys: how they are written in the configuration, and the text they make of what strangers send. */
#include "fake_host.h"

#include "key.h"

static enum key_fault parse(const char *text, struct key_part *part)
{
    return key_part_parse(FAKE_SPAN(text), part);
}

static void known_keys(void **state)
{
    static const char *const words[] = {"client",    "user",     "sender",          "sender_domain",
                                        "recipient", "listener", "recipient_domain"};
    struct key_part part;

    (void)state;
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(parse(words[i], &part), KEY_OK);
    assert_int_equal(parse("client", &part), KEY_OK);
    assert_int_equal(part.bits4, 32);
    assert_int_equal(part.bits6, 128);
    assert_int_equal(parse("client/24", &part), KEY_OK);
    assert_int_equal(part.bits4, 24);
    assert_int_equal(part.bits6, 64);
    assert_int_equal(parse("client/0/0", &part), KEY_OK);
    assert_int_equal(parse("client/32/128", &part), KEY_OK);
    assert_int_equal(part.bits6, 128);
}

static void bad_keys(void **state)
{
    static const struct {
        const char *text;
        enum key_fault fault;
    } cases[] = {
        {"", KEY_UNKNOWN},
        {"sendr", KEY_UNKNOWN},
        {"Sender", KEY_UNKNOWN},
        {"client/33", KEY_PREFIX4},
        {"client/", KEY_PREFIX4},
        {"client/x", KEY_PREFIX4},
        {"client/-1", KEY_PREFIX4},
        {"client/24x", KEY_PREFIX4},
        {"client/99999999999", KEY_PREFIX4},
        {"client/24/129", KEY_PREFIX6},
        {"client/24/", KEY_PREFIX6},
        {"client/24/64/1", KEY_PREFIX6},
        {"sender/3", KEY_NO_PREFIX},
    };
    struct key_part part;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(parse(cases[i].text, &part), cases[i].fault);
    assert_string_equal(key_near(FAKE_SPAN("sendr")), "sender");
    assert_string_equal(key_near(FAKE_SPAN("recipient_domian")), "recipient_domain");
    assert_string_equal(key_near(FAKE_SPAN("Client/24")), "client");
    assert_null(key_near(FAKE_SPAN("weather")));
    assert_null(key_near(FAKE_SPAN("")));
    assert_null(key_near(FAKE_SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
}

static const char *build(const char *keys, const struct key_values *values)
{
    static char text[KEY_TEXT_MAX + 1];
    struct key_part parts[KEY_PARTS_MAX];
    struct key_text key;
    size_t n = 0;

    while (*keys) {
        size_t word = strcspn(keys, " ");
        assert_int_equal(key_part_parse((struct postern_span){keys, word}, &parts[n++]), KEY_OK);
        keys += word + strspn(keys + word, " ");
    }
    if (key_build(parts, n, values, &key) != 0)
        return NULL;
    assert_in_range(key.n, 1, KEY_TEXT_MAX);
    memcpy(text, key.bytes, key.n);
    text[key.n] = '\0';
    return text;
}

static const char four[] = "\xc0\x00\x02\xff",
                  six[] = "\x20\x01\x0d\xb8\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c",
                  mapped[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\xff";

static void clients(void **state)
{
    struct key_values v = {.of[KEY_CLIENT] = {four, 4}};

    (void)state;
    assert_string_equal(build("client", &v), "192.0.2.255/32");
    assert_string_equal(build("client/24", &v), "192.0.2.0/24");
    assert_string_equal(build("client/25", &v), "192.0.2.128/25");
    assert_string_equal(build("client/0", &v), "0.0.0.0/0");
    v.of[KEY_CLIENT] = (struct postern_span){six, 16};
    assert_string_equal(build("client", &v), "2001:db8:102:304:506:708:90a:b0c/128");
    assert_string_equal(build("client/24", &v), "2001:db8:102:304::/64");
    assert_string_equal(build("client/24/33", &v), "2001:db8::/33");
    v.of[KEY_CLIENT] = (struct postern_span){mapped, 16};
    assert_string_equal(build("client/24", &v), "192.0.2.0/24");
    v.of[KEY_CLIENT] = (struct postern_span){six, 5};
    assert_null(build("client", &v));
}

static void canonical(void **state)
{
    struct key_values v = {.of = {[KEY_SENDER] = SPAN("Ann.B@EXAMPLE.Test"), [KEY_CLIENT] = {four, 4}}};

    (void)state;
    assert_string_equal(build("sender", &v), "ann.b@example.test");
    assert_string_equal(build("client/24 sender", &v), "192.0.2.0/24|ann.b@example.test");
    assert_null(build("user", &v)); /* nobody logged in: no key */
    assert_null(build("sender user", &v));
    v.of[KEY_SENDER] = (struct postern_span){NULL, 0}; /* the null sender */
    assert_null(build("sender", &v));
}

/* One mailbox, however it is written. */
static void quoted_mailboxes(void **state)
{
    struct key_values v = {
        .of = {[KEY_SENDER] = SPAN("\"Ann.\\B\"@x.test"), [KEY_RCPT] = SPAN("\"a b\"@x.test")}};

    (void)state;
    assert_string_equal(build("sender", &v), "ann.b@x.test");
    assert_string_equal(build("recipient", &v), "a%20b@x.test");
    v.of[KEY_SENDER] = SPAN("\"a\\\"@x\"@y.test");
    assert_string_equal(build("sender", &v), "a%22@x@y.test");
}

/* RD-10: nothing that a stranger sends can leave its place in the key. */
static void hostile(void **state)
{
    struct key_values v = {.of = {[KEY_SENDER] = SPAN("a|b@x"), [KEY_USER] = SPAN("u")}};

    (void)state;
    assert_string_equal(build("sender user", &v), "a%7Cb@x|u");
    v.of[KEY_SENDER] = SPAN("a\r\nFLUSHALL\r\n\0{x} \xc3\xa9#%");
    assert_string_equal(build("sender", &v), "a%0D%0Aflushall%0D%0A%00%7Bx%7D%20%C3%A9%23%25");
    /* two parts cannot be moved against each other */
    char one[100], two[100];
    v.of[KEY_SENDER] = SPAN("a");
    v.of[KEY_USER] = SPAN("b|c");
    (void)snprintf(one, sizeof(one), "%s", build("sender user", &v));
    v.of[KEY_SENDER] = SPAN("a|b");
    v.of[KEY_USER] = SPAN("c");
    (void)snprintf(two, sizeof(two), "%s", build("sender user", &v));
    assert_string_not_equal(one, two);
}

static void long_ones(void **state)
{
    char text[10000], first[100];
    struct key_values v = {.of[KEY_SENDER] = {text, 64}};

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_int_equal(strlen(build("sender", &v)), 64);
    assert_int_equal(build("sender", &v)[0], 'a');
    v.of[KEY_SENDER].n = 65; /* SHA-1 of 65 times 'a' */
    assert_string_equal(build("sender", &v), "#11655326c708d70319be2610e8a57d9a");
    (void)snprintf(first, sizeof(first), "%s", build("sender", &v));
    text[64] = 'b';
    assert_string_not_equal(build("sender", &v), first);
    v.of[KEY_SENDER].n = sizeof(text);
    assert_int_equal(strlen(build("sender", &v)), 33);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_keys), cmocka_unit_test(bad_keys),         cmocka_unit_test(clients),
        cmocka_unit_test(canonical),  cmocka_unit_test(quoted_mailboxes), cmocka_unit_test(hostile),
        cmocka_unit_test(long_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
