/* SPDX-License-Identifier: MIT */
/* Addresses: their plain form, and where they are in text. And what nobody sees of a text. */
#include "unit/base/check.h"

#include "filters/clean.h"
#include "filters/url.h"

static void plain_forms(void **state)
{
    static const struct {
        const char *raw, *plain;
    } rows[] = {
        {"http://a.example/x?y#z", "http://a.example/x?y#z"},
        {" HTTP://A.Example/X ", "http://a.example/X"},
        {"ht\ntp:\t//a.exa\r\nmple", "http://a.example"},
        {"http:\\\\a.example\\b?c\\d", "http://a.example/b?c\\d"},
        {"http:a.example", "http://a.example"},
        {"https:////a.example/", "https://a.example/"},
        {"//a.example/b", "http://a.example/b"},
        {"\\\\a.example/b", "http://a.example/b"},
        {"www.a.example", "http://www.a.example"},
        {"http://paypal.example@evil.example/", "http://evil.example/"},
        {"http://a@b:c@evil.example:8080/@x", "http://evil.example:8080/@x"},
        {"http://3232235777/", "http://192.168.1.1/"},
        {"http://0xC0A80101/", "http://192.168.1.1/"},
        {"http://0300.0250.257/", "http://192.168.1.1/"},
        {"http://192.168.1.0x1:80/", "http://192.168.1.1:80/"},
        {"http://4294967296/", "http://4294967296/"},
        {"http://256.1.1.1/", "http://256.1.1.1/"},
        {"http://1.2.3.4.5/", "http://1.2.3.4.5/"},
        {"http://08/", "http://08/"},
        {"http://[::1]:80/a", "http://[::1]:80/a"},
        {"http://%65vil.example/%65", "http://evil.example/%65"},
        {"http://b\xc3\xbc"
         "cher.example/",
         "http://b\xc3\xbc"
         "cher.example/"},
        {"javascript:alert(1)", "javascript:alert(1)"},
        {"DATA:text/html,x", "data:text/html,x"},
        {"data:image/png;base64,x", ""},
        {"mailto:a@example.org", ""},
        {"cid:1@x", ""},
        {"#top", ""},
        {"a/b.html", ""},
        {"/a:b", ""},
        {"http://", ""},
        {"http:?x", ""},
        {"", ""},
        {"a:", "a:"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out = {0};
        bool cut;
        assert_true(url_plain(span_of(rows[i].raw), 100, &out, &cut));
        assert_false(cut);
        assert_spans_eq(buf_span(&out), span_of(rows[i].plain));
        buf_free(&out);
    }
}

static void long_ones_are_cut_between_characters(void **state)
{
    struct buf out = {0};
    bool cut;
    (void)state;
    assert_true(url_plain(SPAN_LIT("http://a/\xc3\xa4\xc3\xa4"), 12, &out, &cut));
    assert_true(cut);
    assert_span(buf_span(&out), "http://a/\xc3\xa4");
    buf_free(&out);
}

static bool note(void *ctx, struct span url, bool cut)
{
    return buf_append(ctx, SPAN_LIT("<")) && buf_append(ctx, url) &&
           buf_append(ctx, cut ? SPAN_LIT("...>") : SPAN_LIT(">"));
}

static void found_in_text(void **state)
{
    static const struct {
        const char *text, *found;
    } rows[] = {
        {"see http://a.example/b, or www.c.example.", "<http://a.example/b><www.c.example>"},
        {"(http://a.example/(b)) <https://c.example>", "<http://a.example/(b))><https://c.example>"},
        {"(http://a.example/b)", "<http://a.example/b>"},
        {"http://a\"ftp://b HTTP://C", "<http://a><ftp://b><HTTP://C>"},
        {"http:/a http//b ://c www x.www.y", ""},
        {"xhttp://a", "<xhttp://a><http://a>"},
        {"http://a/?u=http://b/&v=https://c",
         "<http://a/?u=http://b/&v=https://c><http://b/&v=https://c><https://c>"},
        {"\xc3\xa4www.x.example\xc3\xa4 y", "<www.x.example\xc3\xa4>"},
        {"http://123456789012345678901234567890 http://b",
         "<http://123456789012345678901234567...><http://b>"},
        {"h\nttp://a", "<ttp://a>"},
        {"1http://a", "<http://a>"},
    };
    static const size_t steps[] = {100, 1, 2, 5};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(steps); i++) {
        struct url_finder f = {0};
        struct buf out = {0};
        size_t step = steps[i % COUNT_OF(steps)];
        for (struct span left = span_of(rows[i / COUNT_OF(steps)].text); left.n; left = span_skip(left, step))
            assert_true(url_find(&f, span_head(left, step), 34, note, &out));
        assert_true(url_find_end(&f, note, &out));
        assert_spans_eq(buf_span(&out), span_of(rows[i / COUNT_OF(steps)].found));
        url_finder_free(&f);
        buf_free(&out);
    }
}

static void what_nobody_sees_is_dropped(void **state)
{
    static const struct {
        const char *text, *clean;
        bool hid;
    } rows[] = {
        {"via\xe2\x80\x8bgra", "viagra", true},
        {"v\xef\xbb\xbfi", "vi", true},
        {"\xef\xbb\xbf"
         "a \xe2\x80\x8b b\xe2\x80\x8d",
         "a  b", false},
        {"Donau\xc2\xad"
         "dampf",
         "Donaudampf", false},
        {"v\xc2\xad"
         "i",
         "vi", true},
        {"\xd9\x85\xdb\x8c\xe2\x80\x8c\xd8\xae", "\xd9\x85\xdb\x8c\xd8\xae", false},
        {"\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xef\xb8\x8f", "\xf0\x9f\x91\xa8\xf0\x9f\x91\xa9",
         false},
        {"\xd0\xb2\xe2\x81\xa0\xd0\xb8", "\xd0\xb2\xd0\xb8", true},
        {"abcd\xe2\x80\x8e"
         "efgh",
         "abcdefgh", true},
        {"plain \xc3\xa4 text", "plain \xc3\xa4 text", false},
        {"", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct clean c = {0};
        struct buf out = {0};
        assert_true(clean_feed(&c, span_of(rows[i].text), &out));
        assert_spans_eq(buf_span(&out), span_of(rows[i].clean));
        assert_int_equal(c.hid, rows[i].hid);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_forms),
        cmocka_unit_test(long_ones_are_cut_between_characters),
        cmocka_unit_test(found_in_text),
        cmocka_unit_test(what_nobody_sees_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
