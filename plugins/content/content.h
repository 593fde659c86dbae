/* SPDX-License-Identifier: MIT */
/* One configured instance of the plugin: what all its sessions read. */
#ifndef CONTENT_CONTENT_H
#define CONTENT_CONTENT_H

#include "finder.h"
#include "match.h"
#include "rules.h"

#include "postern/filter.h"

enum on_match_error { ON_ERROR_TEMPFAIL, ON_ERROR_SKIP, ON_ERROR_REJECT }; /* as the option lists them */

struct threshold {
    bool set;
    double points;
};

struct content {
    const struct postern_host *host;
    void *self;
    struct rule_set rules;
    struct matcher *matcher;
    size_t max_text;
    uint64_t rule_time_us; /* of the processor, for one rule in one message */
    enum finder_engine engine;
    enum on_match_error on_match_error;
    struct threshold reject, defer;
    bool skip_dkim; /* signed messages keep their header section as it is */
};

#endif
