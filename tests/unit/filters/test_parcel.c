/* SPDX-License-Identifier: MIT */
/* Parts as files: types by their first bytes, names inside of archives, files inside of text. The archives
 * are made here, by libarchive. */
#include "unit/filters/trace.h"

#include "filters/archive.h"
#include "filters/magic.h"

#include <archive.h>
#include <archive_entry.h>

#include <time.h>

/* ---- types ---- */

static void first_bytes_tell_the_type(void **state)
{
    static const struct {
        struct span head;
        const char *type;
    } rows[] = {
        {SPAN_LIT("PK\3\4xx"), "application/zip"},
        {SPAN_LIT("MZ\x90\0\3\0\0\0"), "application/x-dosexec"},
        {SPAN_LIT("MZ is not a program when text follows, however long it may be, as this is."), NULL},
        {SPAN_LIT("\x7f"
                  "ELF\2"),
         "application/x-elf"},
        {SPAN_LIT("%PDF-1.4"), "application/pdf"},
        {SPAN_LIT("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "application/x-ole-storage"},
        {SPAN_LIT("\x89PNG\r\n\x1a\n"), "image/png"},
        {SPAN_LIT("\xff\xd8\xff\xe0"), "image/jpeg"},
        {SPAN_LIT("GIF89a"), "image/gif"},
        {SPAN_LIT("{\\rtf1"), "application/rtf"},
        {SPAN_LIT("#!/bin/sh"), "application/x-shellscript"},
        {SPAN_LIT("L\0\0\0\1\x14\2\0"), "application/x-ms-shortcut"},
        {SPAN_LIT("\xef\xbb\xbf\r\n <!DOCTYPE HTML>"), "text/html"},
        {SPAN_LIT("Rar!\x1a\7\1\0"), "application/vnd.rar"},
        {SPAN_LIT("7z\xbc\xaf\x27\x1c"), "application/x-7z-compressed"},
        {SPAN_LIT("plain"), NULL},
        {SPAN_LIT(""), NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct magic *m = magic_find(rows[i].head, SPAN_NONE);
        assert_int_equal(m != NULL, rows[i].type != NULL);
        if (m)
            assert_string_equal(m->type, rows[i].type);
    }
    assert_string_equal(magic_find(SPAN_LIT("x"), SPAN_LIT("CD001"))->type, "application/x-iso9660-image");
}

static void some_claims_matter(void **state)
{
    static const struct {
        unsigned kind;
        const char *type, *name;
        bool matters;
    } rows[] = {
        {MAGIC_PROGRAM, "image/png", "", true},
        {MAGIC_PROGRAM, "application/octet-stream", "invoice.pdf", true},
        {MAGIC_PROGRAM, "application/octet-stream", "setup.exe", false},
        {MAGIC_PROGRAM, "application/x-msdownload", "", false},
        {MAGIC_SCRIPT, "text/plain", "a.sh", false},
        {MAGIC_SCRIPT, "image/gif", "a", true},
        {MAGIC_ARCHIVE, "application/vnd.openxmlformats-officedocument.x", "a.docx", false},
        {MAGIC_ARCHIVE, "image/jpeg", "", true},
        {MAGIC_DOCUMENT, "text/plain", "", true},
        {MAGIC_DOCUMENT, "application/msword", "a.doc", false},
        {MAGIC_PAGE, "application/octet-stream", "a.pdf", false},
        {MAGIC_PICTURE, "text/plain", "a.txt", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(magic_mismatch(rows[i].kind, magic_claims(span_of(rows[i].type), SPAN_NONE) |
                                                          magic_claims(SPAN_NONE, span_of(rows[i].name))),
                         rows[i].matters);
}

/* ---- archives ---- */

static la_ssize_t collect(struct archive *a, void *ctx, const void *bytes, size_t n)
{
    (void)a;
    assert_true(buf_append(ctx, span_make(bytes, n)));
    return (la_ssize_t)n;
}

struct file {
    const char *name;
    struct span bytes;
};

static struct buf pack(const char *format, bool gzip, const struct file *files, size_t n)
{
    struct buf out = {0};
    struct archive *a = archive_write_new();
    assert_int_equal(archive_write_set_format_by_name(a, format), ARCHIVE_OK);
    if (gzip)
        assert_int_equal(archive_write_add_filter_gzip(a), ARCHIVE_OK);
    assert_int_equal(archive_write_set_bytes_per_block(a, 0), ARCHIVE_OK);
    assert_int_equal(archive_write_open2(a, &out, NULL, collect, NULL, NULL), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, files[i].name);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, (la_int64_t)files[i].bytes.n);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        assert_int_equal(archive_write_data(a, files[i].bytes.p, files[i].bytes.n), files[i].bytes.n);
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    return out;
}

static bool note(void *ctx, struct span name)
{
    return buf_append(ctx, name) && buf_append(ctx, SPAN_LIT("\n"));
}

static const struct archive_limits roomy = {.members = 100, .name_bytes = 100, .unpacked = 1 << 20};

static void check_names(struct span bytes, bool cut, const struct archive_limits *limits, const char *want,
                        uint64_t flags)
{
    struct buf names = {0};
    assert_int_equal(archive_names(bytes, cut, limits, note, &names), flags);
    assert_spans_eq(buf_span(&names), span_of(want));
    buf_free(&names);
}

static const struct file two[] = {{"a.txt", {"abc", 3}}, {"evil.exe", {"MZ", 2}}};

static void names_are_read(void **state)
{
    static const char *const formats[] = {"zip", "7zip", "gnutar", "ustar"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        struct buf out = pack(formats[i], false, two, 2);
        check_names(buf_span(&out), false, &roomy, "a.txt\nevil.exe\n", 0);
        buf_free(&out);
    }
    struct buf out = pack("gnutar", true, two, 2);
    check_names(buf_span(&out), false, &roomy, "a.txt\nevil.exe\n", 0);
    buf_free(&out);
    out = pack("iso9660", false, two, 2);
    struct buf names = {0};
    assert_int_equal(archive_names(buf_span(&out), false, &roomy, note, &names), 0);
    assert_non_null(memmem(buf_span(&names).p, buf_len(&names), "evil.exe", 8));
    buf_free(&names);
    buf_free(&out);
    check_names(SPAN_LIT("\x1f\x8b\x08\x08\0\0\0\0\0\0evil.exe\0\x03\0\0\0\0\0\0\0\0\0"), false, &roomy,
                "evil.exe\n", MESSAGE_ARCHIVE_BROKEN);
}

static void archives_inside_are_read_one_level_deep(void **state)
{
    (void)state;
    struct buf deep = pack("zip", false, two, 2);
    const struct file middle_files[] = {{"deep.zip", buf_span(&deep)}};
    struct buf middle = pack("gnutar", true, middle_files, 1);
    const struct file outer_files[] = {{"middle.tgz", buf_span(&middle)}, {"b", {"b", 1}}};
    struct buf outer = pack("zip", false, outer_files, 2);
    check_names(buf_span(&outer), false, &roomy, "middle.tgz\nmiddle.tgz/deep.zip\nb\n", 0);
    buf_free(&deep);
    buf_free(&middle);
    buf_free(&outer);
}

static void limits_and_broken_archives(void **state)
{
    const struct archive_limits one = {.members = 1, .name_bytes = 3, .unpacked = 1000};
    (void)state;
    struct buf out = pack("zip", false, two, 2);
    struct span all = buf_span(&out);
    check_names(all, false, &one, "a.t\n", MESSAGE_ARCHIVE_LIMIT);
    check_names(span_head(all, all.n - 60), true, &roomy, "a.txt\nevil.exe\n", MESSAGE_ARCHIVE_LIMIT);
    check_names(span_head(all, all.n - 60), false, &roomy, "a.txt\nevil.exe\n", MESSAGE_ARCHIVE_BROKEN);
    /* a name in front of the file that differs from the one in the directory: both are told */
    char *local = memmem(all.p, all.n, "evil.exe", 8);
    assert_non_null(local);
    memcpy(local, "good.txt", 8);
    check_names(all, false, &roomy, "a.txt\ngood.txt\nevil.exe\n", 0);
    buf_free(&out);
    check_names(SPAN_LIT("PK\3\4"), false, &roomy, "", MESSAGE_ARCHIVE_BROKEN);
    check_names(SPAN_LIT("Rar!\x1a\7\1\0aaaa\3\1\0\4"), false, &roomy, "", MESSAGE_ARCHIVE_LIMIT);
}

/* What unpacks to far more than it is costs no more than the limit. */
static void bombs_are_not_unpacked(void **state)
{
    struct span zeros = {calloc(1, 64u << 20), 64u << 20};
    const struct file files[] = {{"zeros", zeros}, {"evil.exe", {"MZ", 2}}};
    struct timespec from, to;
    (void)state;
    assert_non_null(zeros.p);
    struct buf zip = pack("zip", false, files, 2), tgz = pack("gnutar", true, files, 2);
    free((void *)(uintptr_t)zeros.p);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    check_names(buf_span(&zip), false, &roomy, "zeros\nevil.exe\n", 0);
    check_names(buf_span(&tgz), false, &roomy, "zeros\n", MESSAGE_ARCHIVE_LIMIT);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    assert_true(to.tv_sec - from.tv_sec < 2);
    buf_free(&zip);
    buf_free(&tgz);
}

/* ---- in messages ---- */

static void check_message(struct span content, const char *want, const char *found)
{
    static const struct message_limits limits = {0};
    static const size_t steps[] = {0, 1, 7};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct trace t = {.full = true};
        (void)trace_run(&t, &limits, content, steps[i]);
        assert_spans_eq(buf_span(&t.out), span_of(want));
        assert_spans_eq(buf_span(&t.urls), span_of(found));
        buf_free(&t.out);
        buf_free(&t.urls);
    }
}

static void files_in_text(void **state)
{
    (void)state;
    check_message(
        SPAN_LIT("\r\nbegin 644 the work\r\nno data\r\nbegin 755 a.pdf\r\n%35J0``,`\r\n`\r\nend\r\nbye\r\n"),
        "H\nP 0 0 text/plain \"\"\nT 0 \"begin 644 the work\r\nno data\r\nbegin 755 "
        "a.pdf\r\n%35J0``,`\r\n\"\n"
        "P 1 1 application/octet-stream \"a.pdf\"\nT 0 \"`\r\nend\r\nbye\r\n\"\n! 0 type-mismatch\n! 0 "
        "uuencoded\n",
        "");
}

static void attachments(void **state)
{
    (void)state;
    check_message(
        SPAN_LIT(
            "Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAA="),
        "F Content-Type=image/png; name=a.png\nF Content-Transfer-Encoding=base64\nH\n"
        "P 0 0 image/png \"a.png\"\n! 0 type-mismatch\n",
        "");
    struct buf zip = pack("zip", false, two, 2), mail = {0};
    assert_true(buf_append(&mail, SPAN_LIT("Content-Type: application/zip\r\n\r\n")) &&
                buf_append(&mail, buf_span(&zip)));
    check_message(buf_span(&mail), "F Content-Type=application/zip\nH\nP 0 0 application/zip \"\"\n",
                  "M 0 application/zip a.txt\nM 0 application/zip evil.exe\n");
    buf_free(&zip);
    buf_free(&mail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_bytes_tell_the_type),
        cmocka_unit_test(some_claims_matter),
        cmocka_unit_test(names_are_read),
        cmocka_unit_test(archives_inside_are_read_one_level_deep),
        cmocka_unit_test(limits_and_broken_archives),
        cmocka_unit_test(bombs_are_not_unpacked),
        cmocka_unit_test(files_in_text),
        cmocka_unit_test(attachments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
