/* SPDX-License-Identifier: MIT */
/* The same facts for programs. The keys are an interface: they may become more, and none changes its meaning.
 * Pure. */
#include "conf/json.h"
#include "probe/advice.h"
#include "probe/kind.h"
#include "probe/report.h"

/* ---- parts ---- */

static void put_extension(struct json *j, const char *line)
{
    struct span all = span_of(line);
    size_t n = span_find(all, ' ');
    json_open(j, NULL, '{');
    json_string(j, "keyword", span_head(all, n));
    json_string(j, "parameters", span_trim(span_skip(all, n)));
    json_close(j, '}');
}

static void put_offer(struct json *j, const char *key, const struct facts_offer *o)
{
    if (!o->given)
        return;
    json_open(j, key, '{');
    json_open(j, "extensions", '[');
    for (size_t i = 0; i < o->n; i++)
        put_extension(j, o->line[i]);
    json_close(j, ']');
    json_string(j, "auth", span_make(o->ehlo.auth, o->ehlo.auth_n));
    json_close(j, '}');
}

static void put_certificate(struct json *j, const struct facts *f)
{
    const struct tls_shown_info *c = &f->tls.certificate;
    if (!f->tls.shown)
        return;
    json_open(j, "certificate", '{');
    json_text(j, "subject", c->subject);
    json_text(j, "issuer", c->issuer);
    json_text(j, "names", c->names);
    json_text(j, "key", c->key);
    json_number(j, "not_before", (double)c->not_before);
    json_number(j, "not_after", (double)c->not_after);
    json_text(j, "fingerprint", c->fingerprint);
    json_text(j, "pin", c->pin);
    json_bool(j, "self_signed", c->self_signed);
    json_bool(j, "verified", c->verified);
    json_text(j, "verify_error", c->verify_error);
    json_bool(j, "names_host", facts_name_good(f));
    json_close(j, '}');
}

static void put_tls(struct json *j, const struct facts *f)
{
    static const char *const states[] = {[FACTS_TLS_NOT_OFFERED] = "not-offered",
                                         [FACTS_TLS_NOT_ASKED] = "not-tried",
                                         [FACTS_TLS_WORKS] = "works",
                                         [FACTS_TLS_FAILED] = "failed"};
    json_open(j, "tls", '{');
    json_text(j, "state", states[f->tls.state]);
    json_bool(j, "implicit", f->tls.implicit);
    json_text(j, "version", f->tls.version);
    json_text(j, "cipher", f->tls.cipher);
    json_text(j, "error", f->tls.error);
    put_certificate(j, f);
    json_close(j, '}');
}

static void put_way(struct json *j, enum facts_way_name name, const struct facts_way *w)
{
    static const char *const outcomes[] = {
        [FACTS_NOT_TRIED] = "not-tried",     [FACTS_WORKS] = "works",
        [FACTS_NOT_OFFERED] = "not-offered", [FACTS_NOT_EXPECTED] = "not-expected",
        [FACTS_REFUSED] = "refused",         [FACTS_FAILED] = "failed"};
    json_open(j, facts_way_word(name), '{');
    json_text(j, "outcome", outcomes[w->outcome]);
    json_bool(j, "in_tls", w->in_tls);
    json_text(j, "attributes", w->attributes);
    json_text(j, "detail", w->detail);
    json_close(j, '}');
}

/* ---- what to write ---- */

static void put_built(struct json *j, const char *key, bool built, struct buf *text)
{
    j->ok = j->ok && built;
    json_string(j, key, buf_span(text));
    buf_free(text);
}

static void put_advice(struct json *j, const struct advice *a, const struct facts *f)
{
    struct buf lines = {0}, note = {0};
    json_open(j, NULL, '{');
    json_text(j, "server", kind_name(a->kind));
    json_text(j, "way", a->way == FACTS_PROXY_V2 ? "proxy" : facts_way_word(a->way));
    json_text(j, "file", a->where ? a->where : "");
    put_built(j, "lines", advice_lines(a, f, &lines), &lines);
    put_built(j, "note", advice_note(a, f, &note), &note);
    json_close(j, '}');
}

static void put_recommendation(struct json *j, const struct facts *f)
{
    struct buf yaml = {0};
    size_t at = 0;
    json_text(j, "recommended_identity", advice_identity(f).value);
    put_built(j, "upstream", advice_upstream(f, &yaml), &yaml);
    json_open(j, "advice", '[');
    for (const struct advice *a; (a = advice_next(f, &at));)
        put_advice(j, a, f);
    json_close(j, ']');
}

static void put_server(struct json *j, const struct facts *f)
{
    json_text(j, "host", f->host);
    json_number(j, "port", f->port);
    json_bool(j, "smtp", f->smtp);
    json_text(j, "error", f->error);
    json_text(j, "server", f->server);
    json_text(j, "own_address", f->own_ip);
    json_text(j, "greeting", f->greeting);
    json_text(j, "software", kind_name(f->kind));
    json_text(j, "verb", f->verb ? f->verb : "");
}

bool report_json(const struct facts *f, struct buf *out)
{
    struct json j = {.out = out, .ok = true};
    json_open(&j, NULL, '{');
    put_server(&j, f);
    put_offer(&j, "clear", &f->clear);
    put_offer(&j, "secure", &f->secure);
    put_tls(&j, f);
    json_open(&j, "identity", '{');
    for (size_t i = 0; i < FACTS_WAYS; i++)
        put_way(&j, (enum facts_way_name)i, &f->ways[i]);
    json_close(&j, '}');
    if (f->verb)
        put_recommendation(&j, f);
    json_close(&j, '}');
    return j.ok && buf_append(out, SPAN_LIT("\n"));
}
