/* SPDX-License-Identifier: MIT */
/* Any bytes as a configuration file. What must hold: a configuration comes exactly when there was no error;
 * what was taken can be dumped; the dump is taken again and dumps to the same bytes. */
#include "fuzz/fuzz.h"

#include "unit/conf/fake.h"

static void dump_and_free(struct loaded *l, struct buf *out)
{
    REQUIRE(conf_dump(l->conf, out));
    unload(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loaded l;
    struct buf once = {0}, twice = {0};
    load_file(&l, "conf/a.yaml", span_make((const char *)data, size));
    REQUIRE((l.conf == NULL) == (l.diags.errors > 0));
    if (l.conf == NULL) {
        unload(&l);
        return 0;
    }
    dump_and_free(&l, &once);
    load_file(&l, "conf/a.yaml", buf_span(&once));
    REQUIRE(l.conf != NULL);
    dump_and_free(&l, &twice);
    REQUIRE(span_eq(buf_span(&once), buf_span(&twice)));
    buf_free(&once);
    buf_free(&twice);
    return 0;
}
