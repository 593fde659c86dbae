/* SPDX-License-Identifier: MIT */
/* The rule files that postern brings along load, and do what they say. */
#include "fake_host.h"

static const char gtube[] =
    "Hello,\r\nXJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\nbye\r\n";

enum { EXAMPLE_MAX = 64 * 1024 };

struct example {
    struct fake *fake;
    char *bytes;
};

static struct example example_open(const char *name)
{
    struct example e = {fake_new(), calloc(1, EXAMPLE_MAX)};
    const char *source = getenv("POSTERN_SOURCE");
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/conf/examples/rules/%s", source ? source : ".", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_non_null(e.bytes);
    size_t n = fread(e.bytes, 1, EXAMPLE_MAX, file);
    assert_int_equal(fclose(file), 0);
    fake_file_bytes(e.fake, name, e.bytes, n);
    fake_rules(e.fake, name);
    if (fake_configure(e.fake) < 0)
        fail_msg("%s", e.fake->errors);
    fake_open(e.fake);
    return e;
}

static void example_close(struct example *e)
{
    fake_free(e->fake);
    free(e->bytes);
}

static unsigned attachment(struct fake *f, const char *name)
{
    (void)fake_mail(f, "a@example.org");
    fake_part(f, 1, name);
    return fake_end(f);
}

static void quickstart(void **state)
{
    (void)state;
    struct example e = example_open("quickstart.rules");
    struct fake *f = e.fake;
    assert_int_equal(fake_message(f, "A clean message.\r\n"), 0);
    assert_int_equal(fake_message(f, gtube), 550);
    assert_string_equal(f->enhanced, "5.7.1");
    assert_string_equal(f->text, "GTUBE test message refused (rule gtube)");
    assert_int_equal(attachment(f, "Setup.EXE"), 550);
    assert_string_equal(f->text, "Attachments whose names end in .exe are refused (rule exe)");
    assert_int_equal(attachment(f, "setup.exe.txt"), 0);
    example_close(&e);
}

static void basic(void **state)
{
    (void)state;
    struct example e = example_open("basic.rules");
    struct fake *f = e.fake;
    assert_int_equal(fake_message(f, "A clean message.\r\n"), 0);
    assert_string_equal(f->tx.scores, "");
    assert_int_equal(fake_message(f, gtube), 550);
    assert_int_equal(fake_message(f, "for Wallet \n Recovery send us your seed phrase"), 0);
    assert_string_equal(f->tx.scores, "wallet=2.5;wallet-seed=2.5;");
    assert_int_equal(attachment(f, "a.js"), 550);
    assert_int_equal(attachment(f, "a.json"), 0);
    assert_int_equal(attachment(f, "invoice.pdf          .zip"), 550);
    assert_int_equal(attachment(f, "invoice\xe2\x80\xaegpj.zip"), 550);
    assert_int_equal(fake_mail(f, "a@b@example.org"), 553);
    (void)fake_mail(f, "a@example.org");
    fake_header(f, "From", "\"bank@example.com\" <thief@example.net>");
    fake_header(f, "From", "Ann Other <ann@example.net>");
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 0);
    assert_string_equal(f->tx.scores, "address-in-name=1;");
    example_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(quickstart), cmocka_unit_test(basic)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
