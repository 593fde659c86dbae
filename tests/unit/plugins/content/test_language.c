/* SPDX-License-Identifier: MIT */
/* Names, expressions, `if`, lists, and the scopes beyond text: what hits, and what is said of a mistake. */
#include "fake_host.h"

#include <openssl/evp.h>

/* Does this rule file fail with exactly these lines at the beginnings of its errors? */
static void check_errors(const char *rules, const char *expected)
{
    struct fake *f = fake_new();
    fake_file(f, "r", rules);
    fake_file(f, "l", "a.example\n10.0.0.1/8\n10.0.0.0/33\nsha256:12\n");
    fake_rules(f, "r");
    assert_int_equal(fake_configure(f), -1);
    if (strstr(f->errors, expected) != f->errors)
        fail_msg("expected: %s\ngot: %s\nfor: %s", expected, f->errors, rules);
    fake_free(f);
}

/* The scores of a message with this text in these rules. */
static void check_scores(const char *rules, const char *text, const char *scores)
{
    struct fake *f = fake_with(rules);
    (void)fake_message(f, text);
    if (strcmp(f->tx.scores, scores) != 0)
        fail_msg("expected %s, got %s for %s on %s", scores, f->tx.scores, rules, text);
    fake_free(f);
}

static void names_and_expressions(void **state)
{
    (void)state;
#define ABC "[text]\nA = /a/\nB = /b/ SCORE 1\nC = ! /c/\n[meta]\n"
    check_scores(ABC "(A && (B || !C)) SCORE 2 m\n", "ab", "B=1;m=2;");
    check_scores(ABC "(A && (B || !C)) SCORE 2 m\n", "a", "");
    check_scores(ABC "(A && (B || !C)) SCORE 2 m\n", "ac", "m=2;");
    check_scores(ABC "(>= 2 of (A, B, C)) SCORE 2 m\n", "ac", "");
    check_scores(ABC "(>= 2 of (A, B, C)) SCORE 2 m\n", "a", "m=2;");
    check_scores(ABC "(== 1 of (A, B && C)) SCORE 2 m\n", "a", "m=2;");
    check_scores(ABC "! (A) SCORE 2 m\n", "c", "m=2;");
    check_scores(ABC "(A + 2 * C - B > 2) SCORE 2 m\n", "a", "m=2;");
    check_scores(ABC "(A + 2 * C - B > 2) SCORE 2 m\n", "ab", "B=1;");
    check_scores(ABC "(A / 0 == 0 && -A < .5) SCORE 2 m\n", "a", "m=2;");
    /* In any order, and upon each other; the score has the rule's name. */
    check_scores("[meta]\nM = (N && B) SCORE 3\nN = (A)\n[text]\nA = /a/\nB = /b/\n", "ab", "M=3;");
    /* Several rules may share a name. */
    check_scores("[text]\nA = /a/\nA = /b/\n[meta]\n(A) SCORE 1 m\n", "b", "m=1;");
#undef ABC
}

static void expressions_have_their_time(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("[from]\nF = /spam/\n[header:Subject]\nS = /x/\n[text]\nT = /t/\n[helo]\nH = /h/\n"
                  "[meta]\nE = (F && S && H)\n(E) REJECT early\n(S && T) REJECT late\n");
    (void)fake_helo(f, "h");
    (void)fake_mail(f, "spam@example.org");
    fake_header(f, "Subject", "x");
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 550);
    assert_string_equal(f->text, "early");
    (void)fake_mail(f, "b@example.org");
    fake_header(f, "Subject", "x");
    fake_text(f, 0, "t", 1, 1);
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 0);
    assert_int_equal(fake_end(f), 550);
    assert_string_equal(f->text, "late");
    (void)fake_mail(f, "b@example.org"); /* names do not outlive their transaction */
    fake_text(f, 0, "t", 1, 1);
    assert_int_equal(fake_end(f), 0);
    fake_free(f);
}

static void expression_errors(void **state)
{
    (void)state;
    check_errors("[meta]\n(A) REJECT\n", "r:2:2: no rule has the name 'A'");
    check_errors("[meta]\nA = (B)\nB = (A)\n", "r:2:1: the names of this rule lead back to itself\n");
    check_errors("[meta]\n(1 +) REJECT\n",
                 "r:2:5: ')' stands where a name, a number, '!' or '(' is expected\n");
    check_errors("[meta]\n(1 2) REJECT\n", "r:2:4: '2' stands where an operator or ')' is expected\n");
    check_errors("[meta]\n(1\n", "r:2:3: the expression ends here, but an operator or ')' is missing\n");
    check_errors("[meta]\n(> 1) REJECT\n", "r:2:5: ')' stands where 'of' is expected\n");
    check_errors("[meta]\n/a/ REJECT\n", "r:2:1: [meta] takes expressions in parentheses");
    check_errors("[meta]\n(1.2.3) REJECT\n", "r:2:2: '1.2.3' is no number\n");
    check_errors("[meta]\n((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))) REJECT\n",
                 "r:2:33: too many parentheses in parentheses: at most 32\n");
}

static void conditions(void **state)
{
    (void)state;
    const char *rules = "[text]\nif /outer/\n/in/ SCORE 1 in\nif ! /not/\n!/absent/ SCORE 2 deep\nendif\n"
                        "endif\n/in/ SCORE 4 out\n";
    check_scores(rules, "in", "out=4;");
    check_scores(rules, "outer in", "in=1;deep=2;out=4;");
    check_scores(rules, "outer not in", "in=1;out=4;");
    check_scores(rules, "outer absent", "");
    check_scores("[from]\nif /@example/\n/^a/ SCORE 1 a\nendif\n", "x", "a=1;");
    check_scores("[from]\nif /@other/\n/^a/ SCORE 1 a\nendif\n", "x", "");
    check_scores("[helo]\nif /x/\n/^a/ SCORE 1 a\nendif\n", "x", "");
    check_errors("[text]\nif /a/\n/b/ WARN\n[from]\n",
                 "r:2:1: this 'if' has no 'endif' before its scope ends\n");
    check_errors("[text]\nif /a/\nif /b(/\n", "r:3:7: missing closing parenthesis\nr:3:1: this 'if'");
    check_errors("[text]\nendif\n", "r:2:1: this 'endif' has no 'if' in its scope\n");
    check_errors("[text]\nif /a/\nendif x\n", "r:3:7: 'endif' stands alone on its line\n");
    check_errors("[text]\nif /a/ WARN\nendif\n", "r:2:8: an 'if' has no action");
    check_errors("[size]\nif > 1\nendif\n", "r:2:1: [size] has no 'if'\n");
    char deep[256] = "[text]\n";
    for (int i = 0; i < 17; i++)
        strncat(deep, "if /a/\n", 8);
    check_errors(deep, "r:18:1: too many 'if' in 'if': at most 16\n");
}

/* In windows, an `if` may be met in one and what stands in it in another. */
static void conditions_across_windows(void **state)
{
    (void)state;
    enum { LONG = 100 * 1000 };
    char *text = malloc(LONG);
    assert_non_null(text);
    for (int outer = 0; outer < 2; outer++)
        for (int swap = 0; swap < 2; swap++) {
            struct fake *f = fake_new();
            fake_file(f, "r", "[text]\nif /outer/\n/inner/ SCORE 1 i\n!/absent/ SCORE 2 a\nendif\n");
            fake_rules(f, "r");
            fake_option(f, "max_text", 16384);
            assert_int_equal(fake_configure(f), 0);
            fake_open(f);
            for (int again = 0; again < 2; again++) {
                memset(text, ' ', LONG);
                memcpy(text + (swap ? 10 : 90000), "inner", 5);
                if (outer)
                    memcpy(text + (swap ? 50000 : 20), "outer", 5);
                (void)fake_mail(f, "a@example.org");
                fake_text(f, 0, text, LONG, 5000);
                (void)fake_end(f);
                assert_string_equal(f->tx.scores, outer ? "i=1;a=2;" : "");
            }
            fake_free(f);
        }
    free(text);
}

static void a_refused_recipient_is_refused_again(void **state)
{
    (void)state;
    struct fake *f = fake_with("[to]\n/trap/ REJECT\n");
    (void)fake_mail(f, "a@example.org");
    for (int i = 0; i < 3; i++)
        assert_int_equal(fake_phase(f, POSTERN_ON_RCPT, "trap@example.org"), 550);
    fake_free(f);
}

/* ---- lists ---- */

static struct fake *fake_listed(const char *rules, const char *list)
{
    struct fake *f = fake_new();
    fake_file(f, "r", rules);
    fake_file(f, "l", list);
    fake_rules(f, "r");
    if (fake_configure(f) < 0)
        fail_msg("%s", f->errors);
    fake_open(f);
    return f;
}

static void mailboxes_and_domains(void **state)
{
    (void)state;
    struct fake *f = fake_listed("[from]\nin l REJECT\n[to]\n! in l REJECT no\n",
                                 "# a comment\r\n\r\n  Ann@Example.org\r\nbad.example\n@only.example\n");
    static const struct {
        const char *mailbox;
        bool listed;
    } cases[] = {
        {"ann@example.org", true},
        {"ANN@EXAMPLE.ORG", true},
        {"ann@sub.example.org", false},
        {"b@example.org", false},
        {"x@bad.example", true},
        {"x@a.b.Bad.Example", true},
        {"x@notbad.example", false},
        {"x@bad.example.", true},
        {"x@only.example", true},
        {"x@sub.only.example", false},
        {"", false},
        {"# a comment", false},
        {"\"x@bad.example\"@y", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if ((fake_mail(f, cases[i].mailbox) == 550) != cases[i].listed)
            fail_msg("from %s", cases[i].mailbox);
        (void)fake_mail(f, "good@good.example");
        if ((fake_phase(f, POSTERN_ON_RCPT, cases[i].mailbox) == 550) == cases[i].listed)
            fail_msg("to %s", cases[i].mailbox);
    }
    fake_free(f);
}

static void networks(void **state)
{
    (void)state;
    struct fake *f =
        fake_listed("[client]\nin l REJECT\n", "192.0.2.0/24\n10.0.0.0/8\n10.1.2.3\n2001:db8::/33\n::1\n");
    static const struct {
        const char *client;
        bool listed;
    } cases[] = {{"192.0.2.255", true}, {"192.0.3.0", false},    {"10.255.0.1", true},
                 {"11.0.0.0", false},   {"2001:db8:1::1", true}, {"2001:db8:8000::1", false},
                 {"::1", true},         {"::2", false},          {"::ffff:10.0.0.1", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->tx.client = cases[i].client;
        if ((fake_mail(f, "a@example.org") == 550) != cases[i].listed)
            fail_msg("%s", cases[i].client);
    }
    fake_free(f);
}

static void other_keys(void **state)
{
    (void)state;
    unsigned char digest[EVP_MAX_MD_SIZE];
    char list[512] = "bad.example\n10.0.0.0/8\nevil name.exe\nhttp://whole.example/path\nbad-base64\n"
                     "application/x-evil\nspam@x.example\nsha256:";
    assert_int_equal(EVP_Digest("digest@example.org", 18, digest, NULL, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < 32; i++)
        (void)snprintf(list + strlen(list), 3, "%02X", digest[i]);
    struct fake *f =
        fake_listed("[url]\nin l SCORE 1 url\n[filename]\nin l SCORE 1 name\n[flag]\nin l SCORE 1 flag\n"
                    "[type]\nin l SCORE 1 type\n[header:To]\nin l SCORE 1 to\n[helo]\nin l SCORE 1 helo\n"
                    "[from]\nin l SCORE 1 from\n",
                    list);
    static const struct {
        enum postern_phase phase;
        const char *text, *scores;
    } cases[] = {
        {POSTERN_ON_URL, "http://a.bad.example/x", "url=1;"},
        {POSTERN_ON_URL, "https://u:p@BAD.example:8080", "url=1;"},
        {POSTERN_ON_URL, "http://10.1.1.1/", "url=1;"},
        {POSTERN_ON_URL, "http://bad.example@good.example/", ""},
        {POSTERN_ON_URL, "http://good.example/bad.example", ""},
        {POSTERN_ON_URL, "http://whole.example/path", "url=1;"},
        {POSTERN_ON_URL, "http://whole.example/", ""},
        {POSTERN_ON_URL, "http://[", ""},
        {POSTERN_ON_URL, "http://[::1", ""},
        {POSTERN_ON_URL, "http://[::ffff:10.0.0.1]:80/", "url=1;"},
        {POSTERN_ON_URL, "mailto:", ""},
        {POSTERN_ON_MEMBER, "Evil Name.EXE", "name=1;"},
        {POSTERN_ON_FLAG, "bad-base64", "flag=1;"},
        {POSTERN_ON_HELO, "mx.bad.example", "helo=1;"},
        {POSTERN_ON_HELO, "[10.2.3.4]", "helo=1;"},
        {POSTERN_ON_HELO, "[IPv6:::ffff:10.2.3.4]", "helo=1;"},
        {POSTERN_ON_HELO, "[", ""},
        {POSTERN_ON_MAIL, "Digest@example.org", "from=1;"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct postern_part part = {.index = 0, .type = fake_span("a/b"), .detected = fake_span("")};
        f->tx.helo = cases[i].phase == POSTERN_ON_HELO ? cases[i].text : "x";
        (void)fake_mail(f, cases[i].phase == POSTERN_ON_MAIL ? cases[i].text : "a@example.org");
        if (cases[i].phase > POSTERN_ON_MAIL)
            fake_event(f, cases[i].phase, &part, cases[i].text);
        (void)fake_end(f);
        if (strcmp(f->tx.scores, cases[i].scores) != 0)
            fail_msg("%s: %s", cases[i].text, f->tx.scores);
    }
    (void)fake_mail(f, "a@example.org");
    fake_header(f, "To", "\"b@c\" <q@y.example>, Spam <spam@x.example>");
    assert_string_equal(f->tx.scores, "to=1;");
    fake_free(f);
}

static void list_errors(void **state)
{
    (void)state;
    check_errors("[from]\nin l REJECT\n", "l:2:1: the address has bits behind the length of its network;");
    struct fake *f = fake_new();
    fake_file(f, "r", "[from]\nin l REJECT\nin missing REJECT\nin\n[text]\nin l REJECT\n");
    fake_file(f, "l", "10.0.0.0/33\nsha256:12\n");
    fake_rules(f, "r");
    assert_int_equal(fake_configure(f), -1);
    assert_string_equal(f->errors,
                        "l:1:1: the length behind '/' is at most 32 for IPv4, 128 for IPv6\n"
                        "l:2:1: a sha256: entry has 64 hexadecimal digits\n"
                        "r:3:4: cannot read the list 'missing': no such file\n"
                        "r:4:3: the name of a list's file is missing, as in: in lists/bad.domains REJECT\n"
                        "r:6:4: [text] takes patterns only: a list has whole words, names and addresses\n");
    fake_free(f);
}

/* ---- scopes ---- */

static void envelope_scopes(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("[client]\n/^192\\.0\\.2\\./ SCORE 1 client\n[listener]\n/^sub/ SCORE 1 listener\n"
                  "[user]\n/^ann$/ SCORE 1 user\n! /x/ SCORE 1 not\n");
    f->tx.client = "192.0.2.1";
    f->tx.listener = "submission";
    (void)fake_mail(f, "a@example.org");
    assert_string_equal(f->tx.scores, "client=1;listener=1;");
    f->tx.user = "ann";
    (void)fake_mail(f, "a@example.org");
    assert_string_equal(f->tx.scores, "client=1;listener=1;user=1;not=1;");
    fake_free(f);
}

static void raw_fields(void **state)
{
    (void)state;
    struct fake *f = fake_with("[rawheader:Subject]\n/^=\\?utf-8\\?Q\\?a\\?=\\r\\n b$/ SCORE 1 value\n"
                               "[rawheader]\n/^Subject: .*\\n b\\z/ SCORE 1 field\n");
    (void)fake_mail(f, "a@example.org");
    struct postern_event ev = {.phase = POSTERN_ON_HEADER,
                               .name = fake_span("Subject"),
                               .text = fake_span("a b"),
                               .raw = fake_span("Subject: =?utf-8?Q?a?=\r\n b\r\n")};
    (void)fake_hook(f, &ev, NULL);
    assert_string_equal(f->tx.scores, "value=1;field=1;");
    fake_free(f);
}

static void part_scopes(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("[mimeheader:Content-ID]\n/^<x>$/ SCORE 1 id\n[mimeheader]\n/^X-Y: z/ SCORE 1 any\n"
                  "[html]\n/<b>one<\\/b>/ SCORE 1 html\n[type]\n/zip/ SCORE 1 zip\n/plain/ SCORE 1 plain\n"
                  "/pdf/ SCORE 1 pdf\n[text]\n/one/ SCORE 1 text\n");
    struct postern_part part = {
        .index = 1, .type = fake_span("text/plain"), .declared = fake_span("application/pdf")};
    (void)fake_mail(f, "a@example.org");
    struct postern_event ev = {.phase = POSTERN_ON_PART_HEADER,
                               .name = fake_span("content-id"),
                               .text = fake_span("<x>"),
                               .part = &part};
    (void)fake_hook(f, &ev, NULL);
    ev.name = fake_span("X-Y");
    ev.text = fake_span("z");
    (void)fake_hook(f, &ev, NULL);
    assert_string_equal(f->tx.scores, "id=1;any=1;");
    fake_event(f, POSTERN_ON_PART, &part, NULL);
    assert_string_equal(f->tx.scores, "id=1;any=1;plain=1;pdf=1;");
    part.detected = fake_span("application/zip");
    fake_event(f, POSTERN_ON_HTML, &part, "<b>on");
    fake_event(f, POSTERN_ON_TEXT, &part, "on");
    fake_event(f, POSTERN_ON_HTML, &part, "e</b>");
    fake_event(f, POSTERN_ON_TEXT, &part, "e");
    assert_string_equal(f->tx.scores, "id=1;any=1;plain=1;pdf=1;zip=1;");
    (void)fake_end(f);
    assert_string_equal(f->tx.scores, "id=1;any=1;plain=1;pdf=1;zip=1;text=1;html=1;");
    /* Two readings of one part do not join. */
    (void)fake_mail(f, "a@example.org");
    fake_event(f, POSTERN_ON_TEXT, &part, "on");
    fake_event(f, POSTERN_ON_PART, &part, NULL);
    fake_event(f, POSTERN_ON_TEXT, &part, "e");
    (void)fake_end(f);
    assert_null(strstr(f->tx.scores, "text=1"));
    fake_free(f);
}

static void sizes(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("[size]\n> 1KiB SCORE 1 more\n>= 1024 SCORE 1 ge\n< 1024B SCORE 1 less\n"
                  "<= 1024 SCORE 1 le\n! > 1MiB SCORE 1 not\nBIG = > 1GiB\n[meta]\n(!BIG) SCORE 1 m\n");
    f->tx.bytes = 1024;
    (void)fake_message(f, "");
    assert_string_equal(f->tx.scores, "ge=1;le=1;not=1;m=1;");
    f->tx.bytes = 5 << 20;
    (void)fake_message(f, "");
    assert_string_equal(f->tx.scores, "more=1;ge=1;m=1;");
    fake_free(f);
    check_errors("[size]\n10 REJECT\n", "r:2:1: a size is compared, as in: > 10MiB REJECT\n");
    check_errors("[size]\n> 10MB REJECT\n", "r:2:3: '10MB' is no size");
    check_errors("[size]\n> REJECT\n", "r:2:3: 'REJECT' is no size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_expressions),
        cmocka_unit_test(expressions_have_their_time),
        cmocka_unit_test(expression_errors),
        cmocka_unit_test(conditions),
        cmocka_unit_test(conditions_across_windows),
        cmocka_unit_test(a_refused_recipient_is_refused_again),
        cmocka_unit_test(mailboxes_and_domains),
        cmocka_unit_test(networks),
        cmocka_unit_test(other_keys),
        cmocka_unit_test(list_errors),
        cmocka_unit_test(envelope_scopes),
        cmocka_unit_test(raw_fields),
        cmocka_unit_test(part_scopes),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
