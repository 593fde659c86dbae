/* SPDX-License-Identifier: MIT */
/* HTML to text: each line of the tables is read whole and cut everywhere. Addresses are written as <url>. */
#include "unit/base/check.h"

#include "filters/html.h"

struct sight {
    struct buf text, urls;
};

static void on_url(void *ctx, struct span url)
{
    struct sight *s = ctx;
    assert_true(buf_append(&s->urls, SPAN_LIT("<")) && buf_append(&s->urls, url) &&
                buf_append(&s->urls, SPAN_LIT(">")));
}

/* true: something was hidden. */
static bool see(struct sight *s, struct span in, size_t step)
{
    struct html *h = html_create(on_url, s);
    assert_non_null(h);
    for (struct span left = in; left.n; left = span_skip(left, step))
        assert_true(html_feed(h, span_head(left, step), &s->text));
    assert_true(html_end(h, &s->text));
    bool hid = html_hid(h);
    html_destroy(&h);
    return hid;
}

struct row {
    const char *html, *text, *urls;
    bool hid;
};

static void check_rows(const struct row *rows, size_t n)
{
    static const size_t steps[] = {100000, 1, 2, 3, 7};
    for (size_t i = 0; i < n * COUNT_OF(steps); i++) {
        const struct row *row = &rows[i / COUNT_OF(steps)];
        struct sight s = {0};
        bool hid = see(&s, span_of(row->html), steps[i % COUNT_OF(steps)]);
        if (!span_eq(buf_span(&s.text), span_of(row->text)) ||
            !span_eq(buf_span(&s.urls), span_of(row->urls ? row->urls : "")) || hid != row->hid) {
            print_error("%s\n  reads \"%.*s\" %.*s hid %d\n", row->html, SPAN_FMT(buf_span(&s.text)),
                        SPAN_FMT(buf_span(&s.urls)), hid);
            fail();
        }
        buf_free(&s.text);
        buf_free(&s.urls);
    }
}
#define CHECK(rows) check_rows(rows, COUNT_OF(rows))

static void tags_vanish(void **state)
{
    static const struct row rows[] = {
        {"v<b></b>iagra", "viagra", NULL, false},
        {"v<xyz a=\">\">ia</xyz>gra", "viagra", NULL, false},
        {"v<!-- x -->iag<!--->r<!-->a", "viagra", NULL, false},
        {"v<!-- > -- > --!>iagra", "viagra", NULL, false},
        {"v<!x>ia<?php y?>g</ z>ra</>", "viagra", NULL, false},
        {"<![CDATA[no]]>yes", "yes", NULL, false},
        {"<!DOCTYPE html><html><head><title>A &amp; <b>B</b></title></head><body>c</body>", "A & <b>B</b>\nc",
         NULL, false},
        {"a<script>var x = '<b>' </scrip></script >b<style>p{}</style>c", "abc", NULL, false},
        {"a<SCRIPT>x</Script/>b", "ab", NULL, false},
        {"a < b, c <3, d<", "a < b, c <3, d<", NULL, false},
        {"a<b", "a", NULL, false},
        {"<textarea>a<b></textarea>c", "a<b>\nc", NULL, false},
        {"<title>a</titl</title>b", "a</titl\nb", NULL, false},
        {"a\1b\xc3\xa4", "a\1b\xc3\xa4", NULL, false},
        {"<!-- never closed", "", NULL, false},
    };
    (void)state;
    CHECK(rows);
}

static void white_space_and_lines(void **state)
{
    static const struct row rows[] = {
        {"  wallet\r\n\t recovery  ", "wallet recovery", NULL, false},
        {"<p>one</p><p>two<br>three<div>four</div></p>five", "one\ntwo\nthree\nfour\nfive", NULL, false},
        {"<table><tr><td>a</td><td>b</td></tr><tr><td>c", "a b\nc", NULL, false},
        {"a <b> b</b>", "a b", NULL, false},
        {"<ul><li>a<li>b</ul>", "a\nb", NULL, false},
        {"a<img src=x alt='b &amp; c'>d<img alt=''>e", "a b & c de", "<x>", false},
        {"a&#32;&Tab;&NewLine;b&nbsp;c",
         "a b\xc2\xa0"
         "c",
         NULL, false},
    };
    (void)state;
    CHECK(rows);
}

static void references(void **state)
{
    static const struct row rows[] = {
        {"&lt;b&gt; &eacute;&AElig;&euro;", "<b> \xc3\xa9\xc3\x86\xe2\x82\xac", NULL, false},
        {"&#118;&#x69;&#X61;&#0000000000000000000000000000000000000000000000103;r&#97", "viagra", NULL,
         false},
        {"&amp &ampx; &eacutet &notit; &noti", "& &x; \xc3\xa9t \xc2\xacit; \xc2\xaci", NULL, false},
        {"&#128;&#0;&#xD800;&#x110000;&#99999999999999999999;",
         "\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", NULL, false},
        {"& && &; &# &#x &#; &#xg; &unknown; &euro a&", "& && &; &# &#x &#; &#xg; &unknown; &euro a&", NULL,
         false},
        {"&CounterClockwiseContourIntegral; &CounterClockwiseContourIntegralx;",
         "\xe2\x88\xb3 &CounterClockwiseContourIntegralx;", NULL, false},
        {"<a href='?a=1&copy=2&copy;&amp=3&lt&#x26;'>&ZeroWidthSpace;</a>", "\xe2\x80\x8b",
         "<?a=1&copy=2\xc2\xa9&amp=3<&>", false},
        {"v&shy;i",
         "v\xc2\xad"
         "i",
         NULL, false},
    };
    (void)state;
    CHECK(rows);
}

static void addresses(void **state)
{
    static const struct row rows[] = {
        {"<a href=\"http://a/\">x</a><img SRC = b><form action='c'><td background=d>", "x",
         "<http://a/><b><c><d>", false},
        {"<img srcset='a.png 1x, b,c.png 2x ,d'>", "", "<a.png><b,c.png><d>", false},
        {"<meta http-equiv=Refresh content=\"5; URL='http://r/'\">", "", "<http://r/>", false},
        {"<meta content='0;url=http://r/' http-equiv=refresh><meta content='url=no'>", "", "<http://r/>",
         false},
        {"<div style='background:url(\"a\") url( b )'>", "", "<a><b>", false},
        {"<a href=x href=y>", "", "<x><y>", false},
        {"<a title=1 href=a/b>", "", "<a/b>", false},
        {"<a/href=x>", "", "<x>", false},
        {"</a href=x>", "", NULL, false},
        {"<a href=\"http://cut/", "", "<http://cut/>", false},
        {"<base href=http://b/><area href=q><link href=l><iframe src=i>", "", "<http://b/><q><l><i>", false},
        {"<a href='h\nt'>", "", "<h\nt>", false},
    };
    (void)state;
    CHECK(rows);
}

static void hidden_elements(void **state)
{
    static const struct row rows[] = {
        {"a<div style='display:none'>b<div>c</div>d</div>e", "a\ne", NULL, true},
        {"a<span style='DISPLAY : None !important'>b</span>c", "ac", NULL, true},
        {"a<span style='d\\69splay:no/* */ne'>b</span>c", "ac", NULL, true},
        {"a<span style='visibility:hidden'>b<b style='visibility:visible'>c</b></span>", "ac", NULL, true},
        {"a<span style='font-size:0px'>b<b style='font-size:50%'>c</b><b style='font-size:12px'>d</b></span>",
         "ad", NULL, true},
        {"a<font style='font:0/0 a'>b</font>c", "ac", NULL, true},
        {"a<i style='opacity:0.0'>b<b style='opacity:1'>c</b></i>d", "ad", NULL, true},
        {"a<i hidden>b</i>c<template>d</template>e", "ace", NULL, true},
        {"a<i style='color:#FFF;background-color:white'>b<u style='color:red'>c</u></i>d", "acd", NULL, true},
        {"<font color=red bgcolor=red>b</font>c", "c", NULL, true},
        {"a<i style='color:transparent'>b</i>c", "ac", NULL, true},
        {"a<i style='font-size:0.5em;opacity:0.1;display:block;color:#fff'>b</i>c", "abc", NULL, false},
        {"a<i hidden></i>c", "ac", NULL, false},
        {"a<input type=hidden hidden>c<br hidden>d", "ac\nd", NULL, false},
        {"<body style='display:none'>a", "a", NULL, false},
    };
    (void)state;
    CHECK(rows);
}

/* A browser has the element closed: what follows is seen. */
static void hidden_elements_end_where_readers_end_them(void **state)
{
    static const struct row rows[] = {
        {"<p hidden>a<p>b", "b", NULL, true},
        {"<p hidden>a<div>b", "b", NULL, true},
        {"<div><span hidden>a</div>b", "b", NULL, true},
        {"<b><span hidden>a</b>b", "b", NULL, true},
        {"<li hidden>a<li>b", "b", NULL, true},
        {"<table><tr><td hidden>a<td>b", "b", NULL, true},
        {"<div hidden>a<table><tr><td>b<td>c</table>d</div>e", "e", NULL, true},
        {"<div hidden><br><img>a</div>b", "b", NULL, true},
        {"<div hidden>a</b>c", "c", NULL, true},
        {"<div hidden>a", "", NULL, true},
    };
    (void)state;
    CHECK(rows);
}

/* More open elements than are kept: rather shown than lost. */
static void deep_hiding_is_given_up(void **state)
{
    struct buf in = {0};
    struct sight s = {0};
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(buf_append(&in, SPAN_LIT("<i hidden>")));
    assert_true(buf_append(&in, SPAN_LIT("x")));
    (void)see(&s, buf_span(&in), 1000);
    buf_free(&s.text);
    buf_free(&in);
    assert_true(buf_append(&in, SPAN_LIT("<a href='")));
    for (int i = 0; i < 10000; i++)
        assert_true(buf_append(&in, SPAN_LIT("&amp;x")));
    assert_true(buf_append(&in, SPAN_LIT("'>y")));
    (void)see(&s, buf_span(&in), 1000);
    assert_span(buf_span(&s.text), "y");
    assert_in_range(buf_len(&s.urls), 8000, 8400);
    buf_free(&s.text);
    buf_free(&s.urls);
    buf_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_vanish),
        cmocka_unit_test(white_space_and_lines),
        cmocka_unit_test(references),
        cmocka_unit_test(addresses),
        cmocka_unit_test(hidden_elements),
        cmocka_unit_test(hidden_elements_end_where_readers_end_them),
        cmocka_unit_test(deep_hiding_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
