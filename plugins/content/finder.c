/* SPDX-License-Identifier: MIT */
/* Two engines for one question. Vectorscan (or Hyperscan, the same interface) has the SIMD code for it; where
 * it was not there when this was built, or the processor is too old, an automaton after Aho and Corasick does
 * it. A finder belongs to its scanner; its scratch memory is for one scan at a time. */
#include "finder.h"

#include "automaton.h"

#include <stdlib.h>

#ifdef CONTENT_HAS_HS
#include <hs.h>

struct finder {
    struct automaton *automaton; /* NULL: Vectorscan */
    hs_database_t *database;
    hs_scratch_t *scratch;
    uint8_t *lengths; /* of the literals */
};

struct call {
    const struct finder *finder;
    finder_found found;
    void *arg;
};

bool finder_has_vectorscan(void)
{
    return hs_valid_platform() == HS_SUCCESS;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *arg)
{
    (void)from, (void)flags;
    const struct call *call = arg;
    call->found(call->arg, id, (size_t)to - call->finder->lengths[id]);
    return 0;
}

static bool compile(struct finder *f, const struct literal *literals, uint32_t n)
{
    const char **texts = calloc(n, sizeof *texts);
    unsigned *flags = calloc(n, sizeof *flags), *ids = calloc(n, sizeof *ids);
    size_t *sizes = calloc(n, sizeof *sizes);
    hs_compile_error_t *error = NULL;
    bool good = false;
    f->lengths = calloc(n, 1);
    if (texts && flags && ids && sizes && f->lengths) {
        for (uint32_t i = 0; i < n; i++) {
            texts[i] = literals[i].text;
            sizes[i] = f->lengths[i] = literals[i].n;
            flags[i] = HS_FLAG_CASELESS;
            ids[i] = i;
        }
        good = hs_compile_lit_multi(texts, flags, ids, sizes, n, HS_MODE_BLOCK, NULL, &f->database, &error) ==
                   HS_SUCCESS &&
               hs_alloc_scratch(f->database, &f->scratch) == HS_SUCCESS;
    }
    hs_free_compile_error(error);
    free((void *)texts);
    free(flags);
    free(ids);
    free(sizes);
    return good;
}

static void free_compiled(struct finder *f)
{
    hs_free_scratch(f->scratch);
    hs_free_database(f->database);
    free(f->lengths);
}

static int scan_compiled(struct finder *f, const char *p, size_t n, finder_found found, void *arg)
{
    struct call call = {f, found, arg};
    if (n > UINT32_MAX) /* no window is that long */
        return -1;
    return hs_scan(f->database, p, (unsigned)n, 0, f->scratch, on_match, &call) == HS_SUCCESS ? 0 : -1;
}

#else

struct finder {
    struct automaton *automaton;
};

bool finder_has_vectorscan(void)
{
    return false;
}

static bool compile(struct finder *f, const struct literal *literals, uint32_t n)
{
    (void)f, (void)literals, (void)n;
    return false;
}

static void free_compiled(struct finder *f)
{
    (void)f;
}

static int scan_compiled(struct finder *f, const char *p, size_t n, finder_found found, void *arg)
{
    (void)f, (void)p, (void)n, (void)found, (void)arg;
    return -1;
}

#endif

struct finder *finder_create(enum finder_engine engine, const struct literal *literals, uint32_t n)
{
    bool compiled = engine == ENGINE_VECTORSCAN || (engine == ENGINE_AUTO && finder_has_vectorscan());
    struct finder *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    if (!compiled)
        f->automaton = automaton_create(literals, n);
    if (compiled ? compile(f, literals, n) : f->automaton != NULL)
        return f;
    finder_free(&f);
    return NULL;
}

void finder_free(struct finder **f)
{
    if (!*f)
        return;
    automaton_free(&(*f)->automaton);
    free_compiled(*f);
    free(*f);
    *f = NULL;
}

int finder_scan(struct finder *f, const char *p, size_t n, finder_found found, void *arg)
{
    if (!f->automaton)
        return scan_compiled(f, p, n, found, arg);
    automaton_scan(f->automaton, p, n, found, arg);
    return 0;
}
