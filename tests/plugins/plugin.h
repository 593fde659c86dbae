/* SPDX-License-Identifier: MIT */
/* What the plugins made for tests of the ABI share: their options, and verdicts made of them. Like every
 * plugin they see the public header alone. */
#ifndef TESTS_PLUGINS_PLUGIN_H
#define TESTS_PLUGINS_PLUGIN_H

#include "postern/filter.h"

#include <stdlib.h>
#include <string.h>

#define PHASES  "connect|helo|auth|mail|rcpt|data|headers|end"
#define ACTIONS "continue|accept|reject|tempfail|discard|disconnect|delay"

/* The options of a verdict, for an option table. */
#define VERDICT_OPTIONS                                                                                      \
    {.name = "phase", .type = POSTERN_ENUM, .fallback = "helo", .values = PHASES, .help = "Where to act."},  \
        {.name = "action",                                                                                   \
         .type = POSTERN_ENUM,                                                                               \
         .fallback = "reject",                                                                               \
         .values = ACTIONS,                                                                                  \
         .help = "What to answer."},                                                                         \
        {.name = "code", .type = POSTERN_COUNT, .fallback = "0", .help = "The reply code; 0: by action."},   \
        {.name = "enhanced", .type = POSTERN_STRING, .fallback = "", .help = "The enhanced code."},          \
        {.name = "text", .type = POSTERN_STRING, .fallback = "", .help = "The text for the client."},        \
        {.name = "rule", .type = POSTERN_STRING, .fallback = "", .help = "The rule for the log."},           \
    {                                                                                                        \
        .name = "delay", .type = POSTERN_DURATION, .fallback = "0s", .help = "Of the action delay."          \
    }

struct plan {
    enum postern_phase phase;
    struct postern_verdict verdict; /* its texts are in the configuration */
};

static inline const struct postern_node *option(const struct postern_node *block, const char *name)
{
    size_t n = strlen(name);
    for (const struct postern_node *at = block->first; at; at = at->next)
        if (at->name.n == n && memcmp(at->name.p, name, n) == 0)
            return at;
    return NULL;
}

static inline int64_t option_number(const struct postern_node *block, const char *name)
{
    const struct postern_node *at = option(block, name);
    return at ? at->number : 0;
}

static inline struct postern_span option_text(const struct postern_node *block, const char *name)
{
    const struct postern_node *at = option(block, name);
    return at ? at->text : (struct postern_span){NULL, 0};
}

static inline enum postern_phase option_phase(const struct postern_node *block)
{
    static const enum postern_phase phases[] = {POSTERN_ON_CONNECT, POSTERN_ON_HELO, POSTERN_ON_AUTH,
                                                POSTERN_ON_MAIL,    POSTERN_ON_RCPT, POSTERN_ON_DATA,
                                                POSTERN_ON_HEADERS, POSTERN_ON_END};
    return phases[option_number(block, "phase")];
}

static inline struct plan option_plan(const struct postern_node *block)
{
    static const enum postern_action actions[] = {POSTERN_CONTINUE, POSTERN_ACCEPT,  POSTERN_REJECT,
                                                  POSTERN_TEMPFAIL, POSTERN_DISCARD, POSTERN_DISCONNECT,
                                                  POSTERN_DELAY};
    return (struct plan){
        .phase = option_phase(block),
        .verdict = {.size = sizeof(struct postern_verdict),
                    .action = actions[option_number(block, "action")],
                    .code = (unsigned)option_number(block, "code"),
                    .enhanced = option_text(block, "enhanced"),
                    .text = option_text(block, "text"),
                    .rule = option_text(block, "rule"),
                    .delay_us = (uint64_t)option_number(block, "delay")},
    };
}

/* The same hook wherever there is a verdict. */
#define VERDICT_HOOKS(hook)                                                                                  \
    {                                                                                                        \
        [POSTERN_ON_CONNECT] = (hook), [POSTERN_ON_HELO] = (hook), [POSTERN_ON_AUTH] = (hook),               \
        [POSTERN_ON_MAIL] = (hook), [POSTERN_ON_RCPT] = (hook), [POSTERN_ON_DATA] = (hook),                  \
        [POSTERN_ON_HEADERS] = (hook), [POSTERN_ON_END] = (hook)                                             \
    }

#endif
