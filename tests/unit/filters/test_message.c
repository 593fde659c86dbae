/* SPDX-License-Identifier: MIT */
/* The message model: what is read of a message, whole and cut at every kind of place. */
#include "unit/filters/trace.h"

#include <time.h>

static const struct message_limits defaults = {0};

static void check_limited(const struct message_limits *limits, struct span content, struct span want,
                          uint64_t want_flags, const char *file, int line)
{
    static const size_t steps[] = {0, 1, 2, 3, 7, 64};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct trace t = {0};
        uint64_t flags = trace_run(&t, limits, content, steps[i]);
        check_span(buf_span(&t.out), want, file, line);
        if (flags != want_flags) {
            print_error("flags %#llx, not %#llx (pieces of %zu)\n", (unsigned long long)flags,
                        (unsigned long long)want_flags, steps[i]);
            _fail(file, line);
        }
        buf_free(&t.out);
    }
}

#define READS(content, want, flags)                                                                          \
    check_limited(&defaults, SPAN_LIT(content), SPAN_LIT(want), flags, __FILE__, __LINE__)
#define READS_WITH(limits, content, want, flags)                                                             \
    check_limited(limits, SPAN_LIT(content), SPAN_LIT(want), flags, __FILE__, __LINE__)

/* ---- header section ---- */

static void a_plain_message(void **state)
{
    (void)state;
    READS("From: a@example.org\r\nSubject: hello\r\n\r\nline 1\r\nline 2\r\n",
          "F From=a@example.org\nF Subject=hello\nH\nP 0 0 text/plain \"\"\nT 0 \"line 1\r\nline 2\r\n\"\n",
          0);
    READS("", "H\nP 0 0 text/plain \"\"\n", 0);
    READS("\r\n", "H\nP 0 0 text/plain \"\"\n", 0);
    READS("\r\n\r\n", "H\nP 0 0 text/plain \"\"\nT 0 \"\r\n\"\n", 0);
    READS("Subject: no body", "F Subject=no body\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("Subject: no body\r\n", "F Subject=no body\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("\r\n.\r\n..\r\n", "H\nP 0 0 text/plain \"\"\nT 0 \".\r\n..\r\n\"\n", 0);
    READS("A: 1\nB: 2\n\nlf\n", "F A=1\nF B=2\nH\nP 0 0 text/plain \"\"\nT 0 \"lf\n\"\n", 0);
}

static void fields_are_unfolded(void **state)
{
    (void)state;
    READS("Subject: a\r\n b\r\n\tc\r\nX:\r\n y\r\n\r\n",
          "F Subject=a b\tc\nF X=y\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: a\r\n \r\n b\r\n\r\n", "F S=a  b\nH\nP 0 0 text/plain \"\"\n", MESSAGE_BAD_HEADER);
    READS("S: a\rb\r\n\r\n", "F S=a\rb\nH\nP 0 0 text/plain \"\"\n", MESSAGE_BAD_HEADER);
    READS("S : a\r\n\r\n", "F S=a\nH\nP 0 0 text/plain \"\"\n", MESSAGE_BAD_HEADER);
}

static void keep_raw(void *ctx, struct span name, struct span value, struct span raw)
{
    (void)name, (void)value;
    assert_true(buf_append(ctx, raw));
}

static void ignore_end(void *ctx)
{
    (void)ctx;
}

static void raw_is_the_field_as_it_was_sent(void **state)
{
    (void)state;
    const struct message_events events = {.field = keep_raw, .headers_end = ignore_end};
    const struct span content = SPAN_LIT("S: =?utf-8?q?a?=\r\n b\r\nT:\r\n\r\nx");
    for (size_t step = 1; step <= content.n; step++) {
        struct buf raw = {0};
        struct message *m = message_create(&defaults, &events, &raw);
        assert_non_null(m);
        for (struct span left = content; left.n;) {
            struct span piece = span_head(left, step);
            left = span_skip(left, piece.n);
            while (piece.n)
                assert_true(message_feed(m, &piece));
        }
        assert_true(message_end(m));
        assert_span(buf_span(&raw), "S: =?utf-8?q?a?=\r\n b\r\nT:\r\n");
        message_destroy(&m);
        assert_null(m);
        buf_free(&raw);
    }
}

/* A line that is no field ends the section, whatever is wrong with it; nothing of it is lost. */
static void what_is_no_field_begins_the_body(void **state)
{
    (void)state;
    READS("A: 1\r\nno field here\r\nB: 2\r\n",
          "F A=1\nH\nP 0 0 text/plain \"\"\nT 0 \"no field here\r\nB: 2\r\n\"\n", MESSAGE_BAD_HEADER);
    READS("word\r\n\r\nx", "H\nP 0 0 text/plain \"\"\nT 0 \"word\r\n\r\nx\"\n", MESSAGE_BAD_HEADER);
    READS("word", "H\nP 0 0 text/plain \"\"\nT 0 \"word\"\n", MESSAGE_BAD_HEADER);
    READS(": x\r\n", "H\nP 0 0 text/plain \"\"\nT 0 \": x\r\n\"\n", MESSAGE_BAD_HEADER);
    READS(" first\r\nA: 1\r\n", "H\nP 0 0 text/plain \"\"\nT 0 \" first\r\nA: 1\r\n\"\n", MESSAGE_BAD_HEADER);
    READS("X-\0: 1\r\n\r\n", "H\nP 0 0 text/plain \"\"\nT 0 \"X-\0: 1\r\n\r\n\"\n", MESSAGE_BAD_HEADER);
    READS("\xc3\xa4: 1\r\n", "H\nP 0 0 text/plain \"\"\nT 0 \"\xc3\xa4: 1\r\n\"\n", MESSAGE_BAD_HEADER);
    READS("From a@b Mon Jan\r\nA: 1\r\n\r\n", "F A=1\nH\nP 0 0 text/plain \"\"\n", MESSAGE_BAD_HEADER);
    READS(">From a@b Mon Jan\r\nA: 1\r\n\r\n", "F A=1\nH\nP 0 0 text/plain \"\"\n", MESSAGE_BAD_HEADER);
    READS("A: 1\rB: 2\rC: 3\r\n\r\n", "F A=1\rB: 2\rC: 3\nH\nP 0 0 text/plain \"\"\n", MESSAGE_BAD_HEADER);
    READS("__proto__: 1\r\nconstructor: 2\r\nx:\r\n\r\n",
          "F __proto__=1\nF constructor=2\nF x=\nH\nP 0 0 text/plain \"\"\n", 0);
}

static void limits_of_the_header_section(void **state)
{
    (void)state;
    const struct message_limits narrow = {.header_bytes = 16}, short_field = {.field_bytes = 4};
    READS_WITH(&narrow, "A: 1\r\nB: 234567890\r\nC: 3\r\n\tx\r\n\r\nbody",
               "F A=1\nF B=2345678\nH\nP 0 0 text/plain \"\"\nT 0 \"body\"\n", MESSAGE_HEADER_LIMIT);
    READS_WITH(&narrow, "A: 567890123\r\nLong-Name: 1\r\n\r\n", "F A=567890123\nH\nP 0 0 text/plain \"\"\n",
               MESSAGE_HEADER_LIMIT);
    READS_WITH(&short_field, "A: 123456\r\n\r\n", "F A=1234\nH\nP 0 0 text/plain \"\"\n",
               MESSAGE_FIELD_LIMIT);
    READS_WITH(&short_field, "A: abc\xc3\xa4z\r\n\r\n", "F A=abc\nH\nP 0 0 text/plain \"\"\n",
               MESSAGE_FIELD_LIMIT | MESSAGE_EIGHT_BIT_HEADER);
}

/* ---- encoded words ---- */

static void encoded_words(void **state)
{
    (void)state;
    READS("S: =?utf-8?q?caf=C3=A9_au_lait?=\r\n\r\n", "F S=caf\xc3\xa9 au lait\nH\nP 0 0 text/plain \"\"\n",
          0);
    READS("S: =?UTF-8?B?w6Q=?=\r\n\r\n", "F S=\xc3\xa4\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: a =?iso-8859-1?Q?=E4?= b\r\n\r\n", "F S=a \xc3\xa4 b\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: =?utf-8?q?a?= =?utf-8?q?b?=\r\n =?utf-8?q?c?= d\r\n\r\n",
          "F S=abc d\nH\nP 0 0 text/plain \"\"\n", 0);
    /* a character cut between two words */
    READS("S: =?utf-8?q?=C3?= =?utf-8?b?pA==?=\r\n\r\n", "F S=\xc3\xa4\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: =?koi8-r?q?=D0?= =?utf-8*en?q?x?=\r\n\r\n", "F S=\xd0\xbfx\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: x=?utf-8?q?y?=z\r\n\r\n", "F S=xyz\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: =?utf-8?q?a b?=\r\n\r\n", "F S=a b\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: =?utf-8?q?"
          "?=\r\n\r\n",
          "F S=\nH\nP 0 0 text/plain \"\"\n", 0);
}

static void broken_words_stand_for_themselves(void **state)
{
    (void)state;
    READS("S: =?utf-8?x?a?= =? =?? =?utf-8?q?a\r\n\r\n",
          "F S==?utf-8?x?a?= =? =?? =?utf-8?q?a\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: =?utf-7?q?+AGE-?=\r\n\r\n", "F S=a\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: =?klingon?q?a?=\r\n\r\n", "F S=a\nH\nP 0 0 text/plain \"\"\n", MESSAGE_CHARSET_UNKNOWN);
    READS("S: =?nonsense?q?=E4?=\r\n\r\n", "F S=\xc3\xa4\nH\nP 0 0 text/plain \"\"\n",
          MESSAGE_CHARSET_UNKNOWN);
    READS("S: =?utf-8?b?!w6Q?=\r\n\r\n", "F S=\xc3\xa4\nH\nP 0 0 text/plain \"\"\n", MESSAGE_BAD_BASE64);
    READS("S: =?utf-8?q?=4?=\r\n\r\n", "F S==4\nH\nP 0 0 text/plain \"\"\n", MESSAGE_BAD_QP);
    READS("S: =?utf-8?q?=FF?=\r\n\r\n", "F S=\xef\xbf\xbd\nH\nP 0 0 text/plain \"\"\n", 0);
    READS("S: \xff\xc3\xa4\r\n\r\n", "F S=\xef\xbf\xbd\xc3\xa4\nH\nP 0 0 text/plain \"\"\n",
          MESSAGE_EIGHT_BIT_HEADER);
    READS("S: =?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=\r\n\r\n", "F S==?utf-8?q?x?=\nH\nP 0 0 text/plain \"\"\n",
          0);
}

/* ---- transfer encodings and charsets ---- */

#define TEXT_OF(encoding, charset, body, want, flags)                                                        \
    READS("Content-Type: text/plain; charset=" charset "\r\nContent-Transfer-Encoding: " encoding            \
          "\r\n\r\n" body,                                                                                   \
          "F Content-Type=text/plain; charset=" charset "\nF Content-Transfer-Encoding=" encoding            \
          "\nH\nP 0 0 text/plain \"\"\nT 0 \"" want "\"\n",                                                  \
          flags)

static void base64_text(void **state)
{
    (void)state;
    TEXT_OF("base64", "utf-8", "aGVs\r\nbG8=\r\n", "hello", 0);
    TEXT_OF("BASE64", "utf-8", "aGVsbG8", "hello", MESSAGE_BAD_BASE64);
    TEXT_OF("base64", "utf-8", "aGVs*bG8=", "hello", MESSAGE_BAD_BASE64);
    TEXT_OF("base64", "utf-8", "YQ==YWI=", "aab", MESSAGE_BAD_BASE64);
    TEXT_OF("base64", "utf-8", "YWJjZ", "abc", MESSAGE_BAD_BASE64);
    TEXT_OF("base64", "utf-8", "=YWJj", "abc", MESSAGE_BAD_BASE64);
    TEXT_OF("base64 (yes)", "utf-8", "YWJj", "abc", 0);
}

static void quoted_printable_text(void **state)
{
    (void)state;
    TEXT_OF("quoted-printable", "utf-8", "a=3Db=\r\nc\r\n", "a=bc\r\n", 0);
    TEXT_OF("Quoted-Printable", "utf-8", "a= \t\r\nb=\nc", "abc", 0);
    TEXT_OF("quoted-printable", "utf-8", "a=c3=a4b",
            "a\xc3\xa4"
            "b",
            0);
    TEXT_OF("quoted-printable", "utf-8", "1=zz2=4x3==41", "1=zz2=4x3=A", MESSAGE_BAD_QP);
    TEXT_OF("quoted-printable", "utf-8", "a= b=\rc", "a= b=\rc", MESSAGE_BAD_QP);
    TEXT_OF("quoted-printable", "utf-8", "end=4", "end=4", MESSAGE_BAD_QP);
    TEXT_OF("quoted-printable", "utf-8", "end=", "end", 0);
}

static void other_encodings(void **state)
{
    (void)state;
    TEXT_OF("8bit", "utf-8", "\xc3\xa4", "\xc3\xa4", 0);
    TEXT_OF("x-uuencode", "utf-8", "abc", "abc", MESSAGE_ODD_ENCODING);
    READS("Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj",
          "F Content-Transfer-Encoding=7bit\nF Content-Transfer-Encoding=base64\nH\nP 0 0 text/plain \"\"\n"
          "T 0 \"abc\"\nP 0 0 text/plain \"\"\nT 0 \"YWJj\"\n",
          MESSAGE_ODD_ENCODING | MESSAGE_DUP_ENCODING);
    READS("Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj",
          "F Content-Transfer-Encoding=base64\nF Content-Transfer-Encoding=base64\nH\n"
          "P 0 0 text/plain \"\"\nT 0 \"abc\"\n",
          MESSAGE_ODD_ENCODING);
}

/* A comment may stand before each word of a field (RFC 2045 5.1). */
static void comments_in_fields(void **state)
{
    (void)state;
    TEXT_OF("(really) base64", "utf-8", "YWJj", "abc", 0);
    READS("Content-Type: (a (b\\) c)) multipart/mixed; (;) boundary (x) = b\r\n\r\n--b\r\n\r\nx\r\n--b--",
          "F Content-Type=(a (b\\) c)) multipart/mixed; (;) boundary (x) = b\nH\n"
          "P 0 0 multipart/mixed \"\"\nP 1 1 text/plain \"\"\nT 1 \"x\"\n",
          0);
    READS("Content-Type: image/png; (name=a.exe\r\n\r\n",
          "F Content-Type=image/png; (name=a.exe\nH\nP 0 0 image/png \"\"\n", 0);
}

static void charsets(void **state)
{
    (void)state;
    TEXT_OF("8bit", "us-ascii", "a\xff", "a\xef\xbf\xbd", MESSAGE_BAD_CHARSET);
    TEXT_OF("8bit", "utf-8", "\xc3(\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x82",
            "\xef\xbf\xbd(\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd", MESSAGE_BAD_CHARSET);
    TEXT_OF("8bit", "ISO-8859-1", "\xe4\x80", "\xc3\xa4\xe2\x82\xac", 0);
    TEXT_OF("8bit", "windows-1252", "\x80\x9d", "\xe2\x82\xac\xc2\x9d", 0);
    TEXT_OF("8bit", "iso-8859-15", "\xa4\xe4", "\xe2\x82\xac\xc3\xa4", 0);
    TEXT_OF("8bit", "\"koi8-r\"", "\xd0", "\xd0\xbf", 0);
    TEXT_OF("8bit", "Shift_JIS", "\x93\xfa\x96\x7b", "\xe6\x97\xa5\xe6\x9c\xac", 0);
    TEXT_OF("7bit", "iso-2022-jp", "\x1b$BF|K\\\x1b(B.", "\xe6\x97\xa5\xe6\x9c\xac.", 0);
    TEXT_OF("8bit", "gb2312", "\xc4\xe3", "\xe4\xbd\xa0", 0);
    TEXT_OF("8bit", "euc-kr", "\xb0\xa1\xff-", "\xea\xb0\x80\xef\xbf\xbd-", MESSAGE_BAD_CHARSET);
    TEXT_OF("8bit", "windows-1258", "a\xcc", "\xc3\xa0", 0);
    TEXT_OF("base64", "utf-16le", "YQDkAA==", "a\xc3\xa4", 0);
    TEXT_OF("base64", "utf-16be", "AGEA", "a\xef\xbf\xbd", MESSAGE_BAD_CHARSET);
    TEXT_OF("7bit", "utf-7", "1 +AHcAYQBsAGwAZQB0-!", "1 wallet!", MESSAGE_UTF_7);
    TEXT_OF("base64", "utf-32le", "YQAAAOQAAAA=", "a\xc3\xa4", 0);
    TEXT_OF("8bit", "klingon", "\x80", "\xe2\x82\xac", MESSAGE_CHARSET_UNKNOWN);
}

/* What is full of errors is not what it says it is. */
static void a_wrong_charset_is_given_up(void **state)
{
    static const char head[] = "Content-Type: text/plain; charset=euc-kr\r\n\r\n";
    char content[sizeof(head) + 1200];
    struct span bad = SPAN_LIT("\xef\xbf\xbd"), after = SPAN_LIT("\xe2\x82\xac\"\n");
    (void)state;
    memset(content, '\xff', sizeof(content));
    memcpy(content, head, sizeof(head) - 1);
    content[sizeof(content) - 1] = '\x80';
    for (size_t step = 1; step < 2000; step += 333) {
        struct trace t = {0};
        (void)trace_run(&t, &defaults, span_make(content, sizeof(content)), step);
        struct span got = buf_span(&t.out);
        assert_spans_eq(span_skip(got, got.n - after.n), after);
        size_t count = 0;
        for (struct span left = got; left.n; left = span_skip(left, 1))
            count += span_istarts(left, bad);
        assert_int_equal(count, 1000);
        buf_free(&t.out);
    }
}

/* Programs choose differently: each choice is a part of its own, with the same index. */
static void each_reading_is_read(void **state)
{
    static const struct message_limits little = {.reading_bytes = 2};
    (void)state;
    READS("Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\na<b>c",
          "F Content-Type=text/plain\nF Content-Type=text/html\nH\nP 0 0 text/plain \"\"\nT 0 \"a<b>c\"\n"
          "P 0 0 text/html \"\"\nT 0 \"ac\"\n",
          MESSAGE_DUP_CONTENT_TYPE);
    READS("Content-Type: text/plain; charset=utf-8; charset=koi8-r\r\n\r\n\xd0\xbf",
          "F Content-Type=text/plain; charset=utf-8; charset=koi8-r\nH\nP 0 0 text/plain \"\"\n"
          "T 0 \"\xd0\xbf\"\nP 0 0 text/plain \"\"\nT 0 \"\xd0\xbf\xc2\xa9\"\n",
          MESSAGE_DUP_CHARSET);
    READS_WITH(&little, "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nabc",
               "F Content-Type=text/plain\nF Content-Type=text/html\nH\nP 0 0 text/plain \"\"\nT 0 \"abc\"\n"
               "P 0 0 text/html \"\"\nT 0 \"ab\"\n",
               MESSAGE_DUP_CONTENT_TYPE | MESSAGE_AMBIGUOUS);
    READS("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; "
          "boundary=b\r\n"
          "\r\n--b\r\n\r\nx\r\n--b--\r\n--b--",
          "F Content-Type=multipart/mixed; boundary=b\nH\nP 0 0 multipart/mixed \"\"\nP 1 1 multipart/mixed "
          "\"\"\n"
          "P 2 2 text/plain \"\"\nT 2 \"x\"\n",
          MESSAGE_BOUNDARY_COLLISION | MESSAGE_NO_CLOSING_BOUNDARY);
}

/* ---- structure ---- */

#define MULTIPART      "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
#define MULTIPART_READ "F Content-Type=multipart/mixed; boundary=b\nH\nP 0 0 multipart/mixed \"\"\n"

static void parts(void **state)
{
    (void)state;
    READS(MULTIPART "--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>x\r\n\r\n--b--\r\n",
          MULTIPART_READ "P 1 1 text/plain \"\"\nT 1 \"one\"\nP 2 1 text/html \"\"\nT 2 \"x\"\n", 0);
    READS(MULTIPART "before\r\n--b\r\nContent-Type: image/png\r\n\r\nnot text\r\n--b--\r\nafter",
          MULTIPART_READ "T 0 \"before\"\nP 1 1 image/png \"\"\nT 0 \"after\"\n", 0);
    READS(MULTIPART "--b\r\n\r\n--bb\r\n--c\r\n -\r\n-\r\n--b  \r\n\r\nx\r\n--b-- \t",
          MULTIPART_READ
          "P 1 1 text/plain \"\"\nT 1 \"--bb\r\n--c\r\n -\r\n-\"\nP 2 1 text/plain \"\"\nT 2 \"x\"\n",
          MESSAGE_ODD_BOUNDARY);
    READS(MULTIPART "--b\r\n\r\nx\r\n", MULTIPART_READ "P 1 1 text/plain \"\"\nT 1 \"x\"\n",
          MESSAGE_NO_CLOSING_BOUNDARY);
    READS(MULTIPART "no boundary here", MULTIPART_READ "T 0 \"no boundary here\"\n",
          MESSAGE_NO_CLOSING_BOUNDARY);
    /* a part after the end is still a part to some programs */
    READS(MULTIPART "--b--\r\n--b\r\n\r\nx\r\n--b--", MULTIPART_READ "P 1 1 text/plain \"\"\nT 1 \"x\"\n", 0);
}

static void parts_without_an_empty_line(void **state)
{
    (void)state;
    READS(MULTIPART "--b\r\nContent-Type: text/html\r\n--b\r\n--b--",
          MULTIPART_READ "P 1 1 text/html \"\"\nP 2 1 text/plain \"\"\n", 0);
    READS(MULTIPART "--b\r\nnot a field, but text\r\n--b--",
          MULTIPART_READ "P 1 1 text/plain \"\"\nT 1 \"not a field, but text\"\n", MESSAGE_BAD_HEADER);
    /* the boundary itself is the line that ends the message's header section */
    READS("Content-Type: multipart/mixed; boundary=b\r\n--b\r\n\r\nx\r\n--b--",
          MULTIPART_READ "P 1 1 text/plain \"\"\nT 1 \"x\"\n", MESSAGE_BAD_HEADER);
    READS("Content-Type: multipart/mixed; boundary=\"b c\"\r\n--b c\r\n\r\nx\r\n--b c--",
          "F Content-Type=multipart/mixed; boundary=\"b c\"\nH\nP 0 0 multipart/mixed \"\"\n"
          "P 1 1 text/plain \"\"\nT 1 \"x\"\n",
          MESSAGE_BAD_HEADER);
    /* a contained message that begins with no field */
    READS(MULTIPART "--b\r\nContent-Type: message/rfc822\r\ntext at once\r\n--b--",
          MULTIPART_READ "P 1 1 message/rfc822 \"\"\nP 2 2 text/plain \"\"\nT 2 \"text at once\"\n",
          MESSAGE_BAD_HEADER);
}

static void nested_entities(void **state)
{
    (void)state;
    READS(MULTIPART
          "--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n\r\ninner\r\n--b\r\n"
          "\r\nouter\r\n--b--\r\n",
          MULTIPART_READ "P 1 1 multipart/alternative \"\"\nP 2 2 text/plain \"\"\nT 2 \"inner\"\n"
                         "P 3 1 text/plain \"\"\nT 3 \"outer\"\n",
          MESSAGE_NO_CLOSING_BOUNDARY);
    READS(MULTIPART
          "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: base64"
          "\r\n\r\nYWJj\r\n--b--\r\n",
          MULTIPART_READ "P 1 1 message/rfc822 \"\"\nP 2 2 text/plain \"\"\nT 2 \"abc\"\n", 0);
    READS("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: 1\r\n\r\nx\r\n--b--",
          "F Content-Type=multipart/digest; boundary=b\nH\nP 0 0 multipart/digest \"\"\n"
          "P 1 1 message/rfc822 \"\"\nP 2 2 text/plain \"\"\nT 2 \"x\"\n",
          0);
    READS("Content-Type: message/rfc822\r\n\r\nA: 1\r\n\r\nx",
          "F Content-Type=message/rfc822\nH\nP 0 0 message/rfc822 \"\"\nP 1 1 text/plain \"\"\nT 1 \"x\"\n",
          0);
    READS("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nYTogMQ==",
          "F Content-Type=message/rfc822\nF Content-Transfer-Encoding=base64\nH\nP 0 0 message/rfc822 \"\"\n"
          "T 0 \"a: 1\"\n",
          0);
}

static void limits_of_the_structure(void **state)
{
    (void)state;
    const struct message_limits flat = {.depth = 1}, two = {.parts = 2};
    READS_WITH(
        &flat,
        MULTIPART "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--",
        MULTIPART_READ "P 1 1 multipart/mixed \"\"\nT 1 \"--c\r\n\r\nx\r\n--c--\"\n", MESSAGE_DEPTH_LIMIT);
    static const struct message_limits few_bytes = {.decoded_bytes = 3};
    READS_WITH(&few_bytes, MULTIPART "--b\r\n\r\nabc\r\n--b\r\n\r\nd\r\n--b--",
               MULTIPART_READ "P 1 1 text/plain \"\"\nT 1 \"abc\"\nP 2 1 text/plain \"\"\n",
               MESSAGE_DECODED_LIMIT);
    READS_WITH(&two, MULTIPART "--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--",
               MULTIPART_READ "P 1 1 text/plain \"\"\nT 1 \"1\"\nT 0 \"\r\n2\r\n--b--\"\n",
               MESSAGE_PART_LIMIT | MESSAGE_NO_CLOSING_BOUNDARY);
}

/* Where programs would read different things, each reading is followed as far as it can be. */
static void ambiguous_structure(void **state)
{
    (void)state;
    READS(
        "Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--",
        "F Content-Type=text/plain\nF Content-Type=multipart/mixed; boundary=b\nH\nP 0 0 text/plain \"\"\n"
        "P 1 1 text/plain \"\"\nT 1 \"x\"\n",
        MESSAGE_DUP_CONTENT_TYPE);
    READS(
        "Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--a\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--",
        "F Content-Type=multipart/mixed; boundary=a; boundary=b\nH\nP 0 0 multipart/mixed \"\"\n"
        "P 1 1 text/plain \"\"\nT 1 \"1\"\nP 2 1 text/plain \"\"\nT 2 \"2\"\n",
        0);
    READS("Content-Type: multipart/mixed\r\n\r\ntext",
          "F Content-Type=multipart/mixed\nH\nP 0 0 multipart/mixed \"\"\n"
          "T 0 \"text\"\n",
          MESSAGE_NO_CLOSING_BOUNDARY);
    READS("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: "
          "base64\r\n\r\n--b\r\n\r\nx\r\n--b--",
          "F Content-Type=multipart/mixed; boundary=b\nF Content-Transfer-Encoding=base64\nH\n"
          "P 0 0 multipart/mixed \"\"\nP 1 1 text/plain \"\"\nT 1 \"x\"\n",
          MESSAGE_ODD_ENCODING);
    READS("Content-Type: multipart/mixed; boundary*0=\"ab\"; boundary*1=c\r\n\r\n--abc\r\n\r\nx\r\n--abc--",
          "F Content-Type=multipart/mixed; boundary*0=\"ab\"; boundary*1=c\nH\nP 0 0 multipart/mixed \"\"\n"
          "P 1 1 text/plain \"\"\nT 1 \"x\"\n",
          0);
    READS("Content-Type: nonsense\r\n\r\nx", "F Content-Type=nonsense\nH\nP 0 0 text/plain \"\"\nT 0 \"x\"\n",
          0);
}

/* More readings than are kept, and a boundary that is not kept: somebody may read what was not shown. */
static void what_is_not_followed_is_flagged(void **state)
{
    char content[1000];
    (void)state;
    READS("Content-Type: image/png; name=1; name=2; name=3; name=4; name=5.exe\r\n\r\n",
          "F Content-Type=image/png; name=1; name=2; name=3; name=4; name=5.exe\nH\n"
          "P 0 0 image/png \"1\"\nP 0 0 image/png \"2\"\nP 0 0 image/png \"3\"\nP 0 0 image/png \"4\"\n",
          MESSAGE_FIELD_LIMIT);
    int n = snprintf(content, sizeof(content), "Content-Type: multipart/mixed; boundary=%0300d\r\n\r\n", 7);
    assert_in_range(n, 300, sizeof(content) - 1);
    struct trace t = {0};
    uint64_t flags = trace_run(&t, &defaults, span_make(content, (size_t)n), 0);
    assert_int_equal(flags, MESSAGE_FIELD_LIMIT | MESSAGE_NO_CLOSING_BOUNDARY);
    buf_free(&t.out);
}

static void types_that_contradict_each_other(void **state)
{
    (void)state;
    READS("Content-Type: multipart/mixed; boundary=b\r\nContent-Type: text/plain\r\n"
          "Content-Transfer-Encoding: base64\r\n\r\nYWJj",
          "F Content-Type=multipart/mixed; boundary=b\nF Content-Type=text/plain\n"
          "F Content-Transfer-Encoding=base64\nH\nP 0 0 multipart/mixed \"\"\nT 0 \"YWJj\"\n",
          MESSAGE_DUP_CONTENT_TYPE | MESSAGE_ODD_ENCODING | MESSAGE_NO_CLOSING_BOUNDARY | MESSAGE_AMBIGUOUS);
}

/* Once per part, when its header section or its body is over; those of the message's own section before its
 * end. What the header fields of parts say comes before the part. */
static void flags_and_fields_of_parts(void **state)
{
    static const size_t steps[] = {0, 1, 5};
    const struct span content = SPAN_LIT(
        "X : y\r\n" MULTIPART "--b\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n x\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n*YWJj*\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        "A: 1\r\n\r\n--bb\r\n");
    (void)state;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct trace t = {.full = true};
        (void)trace_run(&t, &defaults, content, steps[i]);
        assert_span(buf_span(&t.out),
                    "F X=y\nF Content-Type=multipart/mixed; boundary=b\n! -1 bad-header\nH\n"
                    "P 0 0 multipart/mixed \"\"\n"
                    "f 1 Subject=caf\xc3\xa9 x\nf 1 Content-Transfer-Encoding=base64\n"
                    "P 1 1 text/plain \"\"\nT 1 \"abc\"\n! 1 bad-base64\n"
                    "f 2 Content-Type=message/rfc822\nP 2 1 message/rfc822 \"\"\n"
                    "f 3 A=1\nP 3 2 text/plain \"\"\nT 3 \"--bb\"\n! 3 odd-boundary\n"
                    "! 0 no-closing-boundary\n");
        buf_free(&t.out);
    }
}

/* ---- file names ---- */

static void check_names(const char *field, const char *want)
{
    char content[512], expected[512];
    int n = snprintf(content, sizeof(content), "Content-Type: image/png%s\r\n\r\n", field);
    int m = snprintf(expected, sizeof(expected), "F Content-Type=image/png%s\nH\n%s", field, want);
    assert_in_range(n, 1, sizeof(content) - 1);
    assert_in_range(m, 1, sizeof(expected) - 1);
    check_limited(&defaults, span_make(content, (size_t)n), span_make(expected, (size_t)m), 0, __FILE__,
                  __LINE__);
}

static void file_names(void **state)
{
    (void)state;
    check_names("; name=a.exe", "P 0 0 image/png \"a.exe\"\n");
    check_names("; NAME = \"a b.exe\" ; x", "P 0 0 image/png \"a b.exe\"\n");
    check_names("; name=my file.exe; x=y", "P 0 0 image/png \"my file.exe\"\n");
    check_names("; name=\"a\\\"b;c\"", "P 0 0 image/png \"a\"b;c\"\n");
    check_names("; name=\"open.exe", "P 0 0 image/png \"open.exe\"\n");
    check_names("; name*=utf-8''%c3%a4.exe", "P 0 0 image/png \"\xc3\xa4.exe\"\n");
    check_names("; name*=iso-8859-1'de'%e4", "P 0 0 image/png \"\xc3\xa4\"\n");
    check_names("; name*=plain", "P 0 0 image/png \"plain\"\n");
    check_names("; name*1*=b%20; name*0*=utf-8''a; name*2=c", "P 0 0 image/png \"ab c\"\n");
    check_names("; name*0=a; name*2=c", "P 0 0 image/png \"a\"\n");
    check_names("; name*1=orphan; name*x=y", "P 0 0 image/png \"\"\n");
    check_names("; name*=utf-8''100%", "P 0 0 image/png \"100%\"\n");
    check_names(";;;=;", "P 0 0 image/png \"\"\n");
    check_names("; name=twice; name=twice; name*=twice", "P 0 0 image/png \"twice\"\n");
    /* different programs save under different names */
    check_names("; name=a.txt; name*=utf-8''b.exe", "P 0 0 image/png \"a.txt\"\nP 0 0 image/png \"b.exe\"\n");
    READS("Content-Type: text/html; name=\"=?utf-8?b?w6Q=?=\"\r\nContent-Disposition: attachment;\r\n "
          "filename=b\r\n\r\n",
          "F Content-Type=text/html; name=\"\xc3\xa4\"\nF Content-Disposition=attachment; filename=b\nH\n"
          "P 0 0 text/html \"\xc3\xa4\"\nP 0 0 text/html \"b\"\n",
          0);
}

/* ---- bounds ---- */

#define HTML "Content-Type: text/html\r\n\r\n"

struct flood {
    const char *head, *unit;
    size_t times;
};

/* Time for so many units against twice as many: linear is 2, quadratic 4. Bounded memory shows in the pieces.
 */
static double run_flood(const struct flood *f, size_t times)
{
    struct message_limits limits = {.header_bytes = 4u << 20};
    struct span head = span_of(f->head), unit = span_of(f->unit);
    size_t n = head.n + times * unit.n;
    char *content = malloc(n);
    struct trace t = {0};
    struct timespec from, to;

    assert_non_null(content);
    memcpy(content, head.p, head.n);
    for (size_t i = 0; i < times; i++)
        memcpy(content + head.n + i * unit.n, unit.p, unit.n);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    (void)trace_run(&t, &limits, span_make(content, n), 65536);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    assert_true(t.longest_text <= 16384);
    buf_free(&t.out);
    free(content);
    return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

static void floods_cost_their_length(void **state)
{
    (void)state;
    static const char qp[] = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
    static const char base64[] = "Content-Transfer-Encoding: base64\r\n\r\n";
    static const struct flood floods[] = {
        {qp, "=", 1 << 20},
        {qp, "=\r\n", 1 << 19},
        {base64, "=", 1 << 20},
        {base64, "!", 1 << 20},
        {"\r\n", "\r", 1 << 20},
        {"\r\n", "\n", 1 << 20},
        {MULTIPART, "--b\r\n", 1 << 17},
        {MULTIPART, "--bb\r\n", 1 << 17},
        {MULTIPART "--b\r\n", "Content-Type: message/rfc822\r\n\r\n", 1 << 14},
        {"Content-Type: text/plain; charset=euc-jp\r\n\r\n", "\xff", 1 << 20},
        {"S: ", "=?utf-8?q?a", 1 << 14},
        {"S: ", "=?big5?q?=FF?==?euc-jp?q?a?=", 1 << 13},
        {"S: ", "=?utf-8?q?", 1 << 14},
        {"", "A: b\r\n", 1 << 16},
        {"S:", "\r\n x", 1 << 16},
        {"Content-Type: text/plain", ";", 1 << 18},
        {"Content-Type: text/plain", "; a=\"", 1 << 16},
        {"Content-Type: text/plain; name=", "\\%41", 1 << 16},
        {"Content-Type: text/plain", ";(", 1 << 18},
        {"Content-Type: text/plain;", "(a)", 1 << 18},
        {HTML, "<", 1 << 19},
        {HTML, "<a href='http://a/http://b'>", 1 << 12},
        {HTML, "<i hidden>x", 1 << 15},
        {HTML, "<p hidden><table>x", 1 << 15},
        {HTML, "&ampampampampampampampampampamp", 1 << 14},
        {HTML "<i style='", "/*", 1 << 18},
        {HTML "<i style='", "url(", 1 << 18},
        {HTML "<title>", "</titl", 1 << 17},
        {HTML, "<!--", 1 << 18},
        {"\r\n", "http://", 1 << 17},
        {"\r\n", "www.", 1 << 17},
        {"\r\n", "a\xe2\x80\x8b", 1 << 18},
        {"\r\n", "begin 644 a\r\n#86)C\r\nend\r\n", 1 << 14},
        {"Content-Type: a/b\r\n\r\n", "PK\3\4..\1\1\1.............\1\1\1\1\1\1\377\4", 1 << 17},
        {"Content-Type: a/b\r\n\r\n", "PK\1\2..\1\1\1.............\1\1\1\1\1\1\377\4", 1 << 17},
        {"Content-Type: text/plain\r\nContent-Type: text/html; charset=a; charset=b; charset=c\r\n\r\n",
         "<a>b", 1 << 17},
    };
    for (size_t i = 0; i < COUNT_OF(floods); i++) {
        double once = run_flood(&floods[i], floods[i].times / 4),
               four = run_flood(&floods[i], floods[i].times);
        if (four > 0.05 && four > once * 9) {
            print_error("flood %zu: %f s, four times as much: %f s\n", i, once, four);
            fail();
        }
    }
}

/* Decoding never makes more of a message than it is, but for U+FFFD, which is three bytes. */
static void nothing_is_blown_up(void **state)
{
    (void)state;
    struct trace t = {0};
    char line[1000];
    memset(line, 0xff, sizeof(line));
    struct span head = SPAN_LIT("\r\n");
    struct message *m = message_create(&defaults, &trace_events, &t);
    assert_non_null(m);
    assert_true(message_feed(m, &head));
    for (int i = 0; i < 100; i++) {
        struct span in = span_make(line, sizeof(line));
        assert_true(message_feed(m, &in));
        assert_true(t.longest_text <= 8192);
    }
    assert_true(message_end(m) && message_end(m));
    message_destroy(&m);
    trace_text_over(&t);
    assert_true(buf_len(&t.out) < sizeof(line) * 300 + 64);
    assert_true(t.texts > 10);
    buf_free(&t.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_message),
        cmocka_unit_test(fields_are_unfolded),
        cmocka_unit_test(raw_is_the_field_as_it_was_sent),
        cmocka_unit_test(what_is_no_field_begins_the_body),
        cmocka_unit_test(limits_of_the_header_section),
        cmocka_unit_test(encoded_words),
        cmocka_unit_test(broken_words_stand_for_themselves),
        cmocka_unit_test(base64_text),
        cmocka_unit_test(quoted_printable_text),
        cmocka_unit_test(other_encodings),
        cmocka_unit_test(comments_in_fields),
        cmocka_unit_test(charsets),
        cmocka_unit_test(a_wrong_charset_is_given_up),
        cmocka_unit_test(each_reading_is_read),
        cmocka_unit_test(parts),
        cmocka_unit_test(parts_without_an_empty_line),
        cmocka_unit_test(nested_entities),
        cmocka_unit_test(limits_of_the_structure),
        cmocka_unit_test(ambiguous_structure),
        cmocka_unit_test(what_is_not_followed_is_flagged),
        cmocka_unit_test(types_that_contradict_each_other),
        cmocka_unit_test(flags_and_fields_of_parts),
        cmocka_unit_test(file_names),
        cmocka_unit_test(floods_cost_their_length),
        cmocka_unit_test(nothing_is_blown_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
