/* SPDX-License-Identifier: MIT */
/* Compiling and matching with PCRE2, the only file that sees it.
 *
 * Patterns belong to their rules and live as long as the filter instance, and so does the matcher: one match
 * block and one JIT stack are enough, because a worker has one thread and no match calls another.
 *
 *   pattern text --pattern_compile--> struct pattern --+
 *                                                      +--matcher_try--> found, not found, or an error
 *   message ------------subject------------------------+
 *
 * The patterns come from the administrator, the subjects from strangers. So every match runs under limits,
 * and reaching one is an error that the caller must answer for: it is never "not found". */
#include "match.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "literal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* \C could split a character. An offset limit is what lets a long text be tried window by window. */
#define PATTERN_ALWAYS (PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT)

enum {
    JIT_STACK_START = 32 * 1024,
    PATTERN_NO_MEMORY = PCRE2_ERROR_NOMEMORY,
    FAST_LIMIT = 1000, /* steps back from one place; a slice that needs more is tried again in small ones */
    FAST_SLICE = 4096, /* places where a match may begin */
    SLOW_SLICE = 16,
    FAIR_NS = 20,    /* a place may cost as much and is not charged for: else long texts were errors */
    UNMEASURED = 256 /* so few places cost less than asking for the time */
};

struct pattern {
    pcre2_code *code;
    bool anchored; /* a match can begin at the subject's `from` only */
    struct literals literals;
};

struct matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *jit_stack; /* NULL where PCRE2 has no JIT */
    uint32_t match_limit;
};

static const struct {
    char letter;
    uint32_t option;
} flags[] = {
    {'i', PCRE2_CASELESS}, {'m', PCRE2_MULTILINE},      {'s', PCRE2_DOTALL},   {'x', PCRE2_EXTENDED},
    {'A', PCRE2_ANCHORED}, {'E', PCRE2_DOLLAR_ENDONLY}, {'U', PCRE2_UNGREEDY},
};

const char pattern_flags_help[] =
    "i (letters match in both cases), m (^ and $ match at inner lines), s (. matches newlines), "
    "x (white space and comments in the pattern), A (match at the start only), E ($ at the very end only), "
    "U (not greedy)";

bool pattern_flag(char letter, uint32_t *options_io)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flags[i].letter == letter) {
            *options_io |= flags[i].option;
            return true;
        }
    return false;
}

static void explain(struct pattern_error *e, int code, size_t offset)
{
    e->offset = offset;
    matcher_error(code, e->text, sizeof e->text);
}

/* A window keeps only so many bytes before the place where matches may begin. */
static bool looks_too_far_back(const pcre2_code *code, struct pattern_error *e)
{
    uint32_t back = 0;
    if (pcre2_pattern_info(code, PCRE2_INFO_MAXLOOKBEHIND, &back) == 0 && back <= PATTERN_LOOKBACK)
        return false;
    e->offset = 0;
    (void)snprintf(e->text, sizeof e->text, "the pattern looks %u characters behind, at most %d are possible",
                   back, (int)PATTERN_LOOKBACK);
    return true;
}

struct pattern *pattern_compile(const char *p, size_t n, uint32_t options, bool utf,
                                struct pattern_error *error_r)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    /* In bytes, "(*UTF)" in a pattern would make every 8-bit line an error while matching: refuse it now. */
    options |= PATTERN_ALWAYS | (utf ? PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF : PCRE2_NEVER_UTF);
    struct pattern *made = calloc(1, sizeof *made);
    if (!made) {
        explain(error_r, PATTERN_NO_MEMORY, 0);
        return NULL;
    }
    made->code = pcre2_compile((PCRE2_SPTR)p, n, options, &code, &offset, NULL);
    if (!made->code) {
        explain(error_r, code, offset);
        goto fail;
    }
    if (looks_too_far_back(made->code, error_r))
        goto fail;
    uint32_t all = 0;
    made->anchored =
        pcre2_pattern_info(made->code, PCRE2_INFO_ALLOPTIONS, &all) == 0 && (all & PCRE2_ANCHORED);
    if (!(options & PCRE2_ANCHORED)) /* that one depends on where it is tried */
        literals_of(p, n, options & PCRE2_CASELESS, options & PCRE2_EXTENDED, utf, &made->literals);
    /* Where there is no JIT, or the system forbids it memory, PCRE2 interprets: slower, same results. */
    (void)pcre2_jit_compile(made->code, PCRE2_JIT_COMPLETE);
    return made;
fail:
    pattern_destroy(&made);
    return NULL;
}

void pattern_destroy(struct pattern **p)
{
    if (!*p)
        return;
    pcre2_code_free((*p)->code);
    free(*p);
    *p = NULL;
}

const struct literals *pattern_literals(const struct pattern *p)
{
    return &p->literals;
}

struct subject subject_whole(const char *p, size_t n)
{
    return (struct subject){.p = p ? p : "", .n = n, .from = 0, .to = n, .last = true};
}

bool matcher_has_jit(void)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code *probe = pcre2_compile((PCRE2_SPTR) "a", 1, 0, &code, &offset, NULL);
    bool works = probe && pcre2_jit_compile(probe, PCRE2_JIT_COMPLETE) == 0;
    pcre2_code_free(probe);
    return works;
}

struct matcher *matcher_create(const struct matcher_limits *limits)
{
    struct matcher *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->data = pcre2_match_data_create(1, NULL); /* one pair: where the match is, whatever its groups */
    m->context = pcre2_match_context_create(NULL);
    if (!m->data || !m->context)
        goto fail;
    m->match_limit = limits->match_limit;
    (void)pcre2_set_depth_limit(m->context, limits->match_limit);
    (void)pcre2_set_heap_limit(m->context, (uint32_t)(limits->heap / 1024));
    if (matcher_has_jit()) {
        size_t start = limits->jit_stack < JIT_STACK_START ? limits->jit_stack : JIT_STACK_START;
        m->jit_stack = pcre2_jit_stack_create(start, limits->jit_stack, NULL);
        if (!m->jit_stack)
            goto fail;
        pcre2_jit_stack_assign(m->context, NULL, m->jit_stack);
    }
    return m;
fail:
    matcher_destroy(&m);
    return NULL;
}

void matcher_destroy(struct matcher **m)
{
    if (!*m)
        return;
    pcre2_jit_stack_free((*m)->jit_stack);
    pcre2_match_context_free((*m)->context);
    pcre2_match_data_free((*m)->data);
    free(*m);
    *m = NULL;
}

static int try_once(struct matcher *m, const struct pattern *p, const struct subject *s, uint32_t limit)
{
    (void)pcre2_set_match_limit(m->context, limit);
    (void)pcre2_set_offset_limit(m->context, s->to);
    int rc = pcre2_match(p->code, (PCRE2_SPTR)s->p, s->n, s->from, s->last ? 0 : PCRE2_NOTEOL, m->data,
                         m->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    return rc >= 0 ? 1 : rc; /* 0 says that there were more groups than pairs to store them: still a match */
}

static uint64_t processor_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* PCRE2's limit counts anew at each place where a match may begin, so it does not bound a long text. Time
 * does: places are tried in slices, and what these took is taken from the budget. */
static int try_slices(struct matcher *m, const struct pattern *p, const struct subject *s, uint32_t limit,
                      struct budget *budget)
{
    size_t width = limit == m->match_limit ? SLOW_SLICE : FAST_SLICE;
    bool measured = width == SLOW_SLICE || s->to - s->from > UNMEASURED;
    uint64_t began = measured ? processor_ns() : 0;
    struct subject slice = *s;
    int rc = 0;
    for (;;) {
        bool over = s->to - slice.from < width;
        slice.to = over ? s->to : slice.from + width - 1;
        rc = try_once(m, p, &slice, limit);
        uint64_t now = measured ? processor_ns() : 0, fair = (slice.to - slice.from + 1) * FAIR_NS;
        uint64_t took = now - began > fair ? now - began - fair : 0;
        began = now;
        if (rc == PCRE2_ERROR_MATCHLIMIT && limit < m->match_limit)
            rc = try_slices(m, p, &slice, m->match_limit, budget);
        else
            budget->left_ns -= took < budget->left_ns ? took : budget->left_ns;
        if (rc != 0 || over)
            return rc;
        if (budget->left_ns == 0)
            return MATCH_TOO_LONG;
        slice.from = slice.to + 1;
    }
}

int matcher_try(struct matcher *m, const struct pattern *p, const struct subject *s, struct budget *budget)
{
    if (p->anchored)
        return try_once(m, p, s, m->match_limit);
    return try_slices(m, p, s, m->match_limit < FAST_LIMIT ? m->match_limit : FAST_LIMIT, budget);
}

void matcher_error(int code, char *text_r, size_t size)
{
    if (code == MATCH_TOO_LONG) {
        (void)snprintf(text_r, size, "its time for one message is over (rule-limit)");
        return;
    }
    if (pcre2_get_error_message(code, (PCRE2_UCHAR *)text_r, size) == PCRE2_ERROR_BADDATA)
        (void)snprintf(text_r, size, "PCRE2 error %d", code);
}

void matcher_last(const struct matcher *m, size_t *from_r, size_t *to_r)
{
    const PCRE2_SIZE *pair = pcre2_get_ovector_pointer(m->data);
    *from_r = pair[0];
    *to_r = pair[1] > pair[0] ? pair[1] : pair[0]; /* \K can put the start behind the end */
}
