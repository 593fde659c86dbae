/* SPDX-License-Identifier: MIT */
/* The messages of tests/content: what is hidden in the evasive ones is found where the table says, and good
 * mail raises nothing that anybody would refuse for. */
#include "unit/base/check.h"

#include "base/buf.h"
#include "filters/message.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>

enum place { TEXT, URL, FILENAME, MEMBER, HEADER, FLAG, PLACES };
static const char *const place_names[PLACES] = {"text", "url", "filename", "member", "header", "flag"};

struct found { /* what is in each place, one a line; text as it comes */
    struct buf at[PLACES];
};

static void add(struct found *f, enum place place, struct span s)
{
    assert_true(buf_append(&f->at[place], s));
    assert_true(place == TEXT || buf_append(&f->at[place], SPAN_LIT("\n")));
}

static void on_field(void *ctx, struct span name, struct span value, struct span raw)
{
    (void)name, (void)raw;
    add(ctx, HEADER, value);
}

static void on_headers_end(void *ctx)
{
    (void)ctx;
}

static void on_part(void *ctx, const struct message_part *part)
{
    struct found *f = ctx;
    add(f, FILENAME, part->filename);
    add(f, TEXT, SPAN_LIT("\n")); /* the text of one part does not go on in the next */
}

static void on_text(void *ctx, const struct message_part *part, struct span utf8)
{
    (void)part;
    add(ctx, TEXT, utf8);
}

static void on_url(void *ctx, const struct message_part *part, struct span url)
{
    (void)part;
    add(ctx, URL, url);
}

static void on_member(void *ctx, const struct message_part *part, struct span name)
{
    (void)part;
    add(ctx, MEMBER, name);
}

static void on_flag(void *ctx, const struct message_part *part, enum message_flag flag)
{
    (void)part;
    add(ctx, FLAG, span_of(message_flag(flag)->name));
}

/* The flags; what was found is in *f. */
static uint64_t run(struct span content, size_t step, struct found *f)
{
    static const struct message_events events = {.field = on_field,
                                                 .headers_end = on_headers_end,
                                                 .part = on_part,
                                                 .text = on_text,
                                                 .url = on_url,
                                                 .member = on_member,
                                                 .flag = on_flag};
    static const struct message_limits defaults = {0};
    struct message *m = message_create(&defaults, &events, f);

    assert_non_null(m);
    while (content.n) {
        struct span piece = span_head(content, step);
        content = span_skip(content, piece.n);
        while (piece.n)
            assert_true(message_feed(m, &piece));
    }
    for (int i = 0; i < 2; i++)
        assert_true(message_end(m));
    uint64_t flags = message_flags(m);
    message_destroy(&m);
    return flags;
}

static void found_free(struct found *f)
{
    for (int i = 0; i < PLACES; i++)
        buf_free(&f->at[i]);
}

static struct buf read_file(const char *folder, const char *name)
{
    const char *source = getenv("POSTERN_SOURCE");
    char path[PATH_MAX];
    struct buf out = {0};
    size_t n;

    (void)snprintf(path, sizeof(path), "%s/tests/content/%s/%s", source ? source : ".", folder, name);
    FILE *file = fopen(path, "rbe");
    if (!file)
        fail_msg("%s cannot be opened", path);
    do {
        char *to = buf_reserve(&out, 65536);
        assert_non_null(to);
        n = fread(to, 1, 65536, file);
        buf_added(&out, n);
    } while (n);
    (void)fclose(file);
    return out;
}

static bool contains(struct span s, struct span needle)
{
    return s.n && memmem(s.p, s.n, needle.p, needle.n);
}

static enum place place_of(struct span name)
{
    for (int i = 0; i < PLACES; i++)
        if (span_eq(name, span_of(place_names[i])))
            return (enum place)i;
    fail_msg("no place '%.*s'", SPAN_FMT(name));
    return PLACES;
}

static struct span take_word(struct span *line)
{
    size_t n = span_find(*line, ' ');
    struct span word = span_head(*line, n);
    *line = span_skip(*line, n + 1);
    return word;
}

/* One line of the table; false: it was not found. */
static bool check_row(struct span line)
{
    struct span name = take_word(&line);
    enum place place = place_of(take_word(&line));
    char file[256];
    bool good = true;

    (void)snprintf(file, sizeof(file), "%.*s.eml", SPAN_FMT(name));
    struct buf message = read_file("evasion", file);
    for (int whole = 0; whole < 2; whole++) {
        struct found f = {0};
        (void)run(buf_span(&message), whole ? buf_len(&message) : 1, &f);
        if (!contains(buf_span(&f.at[place]), line)) {
            good = false;
            print_error("%s: no '%.*s' in %s: \"%.*s\"\n", file, SPAN_FMT(line), place_names[place],
                        SPAN_FMT(buf_span(&f.at[place])));
        }
        found_free(&f);
    }
    buf_free(&message);
    return good;
}

static void what_is_hidden_is_found(void **state)
{
    struct buf table = read_file("evasion", "table");
    size_t rows = 0, missed = 0;
    (void)state;
    for (struct span left = buf_span(&table); left.n;) {
        size_t n = span_find(left, '\n');
        struct span line = span_head(left, n);
        left = span_skip(left, n + 1);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        rows++;
        missed += !check_row(line);
    }
    buf_free(&table);
    assert_true(rows >= 60);
    assert_int_equal(missed, 0);
}

static void good_mail_raises_nothing(void **state)
{
    const uint64_t harmless = MESSAGE_HTML_HIDDEN | MESSAGE_EIGHT_BIT_HEADER;
    const char *source = getenv("POSTERN_SOURCE");
    char path[PATH_MAX];
    size_t messages = 0, refused = 0;
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/tests/content/good", source ? source : ".");
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        struct buf message = read_file("good", entry->d_name);
        struct found f = {0};
        messages++;
        if (run(buf_span(&message), 4096, &f) & ~harmless) {
            refused++;
            print_error("%s: %.*s\n", entry->d_name, SPAN_FMT(buf_span(&f.at[FLAG])));
        }
        found_free(&f);
        buf_free(&message);
    }
    (void)closedir(folder);
    assert_true(messages >= 20);
    assert_int_equal(refused, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_hidden_is_found),
        cmocka_unit_test(good_mail_raises_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
