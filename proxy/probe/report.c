/* SPDX-License-Identifier: MIT */
/* The report for people: sections, and in them names and values in two columns. Pure; the facts are the
 * caller's, and all their texts are printable.
 *
 *   facts -> server, EHLO, TLS, ways -> what to write into postern.yaml -> what to write into the server's
 * files
 */
#include "probe/report.h"

#include "probe/advice.h"
#include "probe/kind.h"

#include <stdio.h>
#include <time.h>

enum { NAME_WIDTH = 20, WRAP = 100, INDENT = 2 };

static bool heading(struct buf *out, const char *text)
{
    return buf_printf(out, "\n%s\n", text);
}

static bool row(struct buf *out, const char *name, const char *value)
{
    return buf_printf(out, "%*s%-*s  %s\n", INDENT, "", NAME_WIDTH, name, value);
}

/* A sentence in lines of WRAP characters, cut at blanks. */
static bool paragraph(struct buf *out, int indent, struct span text)
{
    bool good = true;
    while (good && text.n) {
        size_t n = text.n, most = (size_t)(WRAP - indent);
        if (n > most)
            for (n = most; n > 1 && text.p[n] != ' ';)
                n--;
        good = buf_printf(out, "%*s%.*s\n", indent, "", SPAN_FMT(span_head(text, n)));
        text = span_trim(span_skip(text, n));
    }
    return good;
}

/* ---- server ---- */

static bool put_server(const struct facts *f, struct buf *out)
{
    char kind[FACTS_TEXT], here[FACTS_TEXT];
    (void)snprintf(here, sizeof here, "%s, from %s", f->server, f->own_ip);
    (void)snprintf(kind, sizeof kind, "%s%s%s", kind_name(f->kind), f->kind_by ? ", says " : "",
                   f->kind_by ? f->kind_by : "");
    return heading(out, "Server") && (!*f->server || row(out, "address", here)) &&
           (!*f->greeting || row(out, "greeting", f->greeting)) && (!f->smtp || row(out, "software", kind)) &&
           (!facts_lmtp(f) || row(out, "protocol", "LMTP: it answers LHLO, not EHLO")) &&
           (!facts_behind_proxy(f) ||
            paragraph(
                out, INDENT,
                SPAN_LIT("The server says nothing before a PROXY header: all that follows was asked behind "
                         "one, as a client from a documentation address."))) &&
           (!*f->error || row(out, f->smtp ? "no more, because" : "failed", f->error)) &&
           (!*f->server || f->smtp || f->tls.implicit ||
            paragraph(out, INDENT, SPAN_LIT("If it speaks TLS from the first byte: --tls implicit.")));
}

/* ---- offers ---- */

static bool put_offer_line(struct buf *out, const char *line)
{
    char keyword[FACTS_TEXT];
    size_t n = span_find(span_of(line), ' ');
    (void)snprintf(keyword, sizeof keyword, "%.*s", (int)n, line);
    return line[n] ? row(out, keyword, line + n + 1) : buf_printf(out, "%*s%s\n", INDENT, "", keyword);
}

/* Only those lines that `without` has not; NULL: all. */
static bool put_offer(const struct facts_offer *o, const struct facts_offer *without, struct buf *out)
{
    bool good = true, any = false;
    for (size_t i = 0; good && i < o->n; i++) {
        if (without && facts_offers(without, o->line[i]))
            continue;
        any = true;
        good = put_offer_line(out, o->line[i]);
    }
    if (good && !any)
        good = buf_printf(out, "%*s%s\n", INDENT, "", without ? "(nothing)" : "(no extensions)");
    return good && (!o->left_out || buf_printf(out, "%*s(and %zu more)\n", INDENT, "", o->left_out));
}

static bool put_offers(const struct facts *f, struct buf *out)
{
    bool good = true;
    if (f->clear.given)
        good = buf_printf(out, "\n%s in clear\n", f->verb) && put_offer(&f->clear, NULL, out);
    if (good && f->secure.given && !f->clear.given)
        return buf_printf(out, "\n%s in TLS\n", f->verb) && put_offer(&f->secure, NULL, out);
    if (!good || !f->secure.given)
        return good;
    return buf_printf(out, "\n%s in TLS: more than in clear\n", f->verb) &&
           put_offer(&f->secure, &f->clear, out) &&
           buf_printf(out, "\n%s in TLS: less than in clear\n", f->verb) &&
           put_offer(&f->clear, &f->secure, out);
}

/* ---- TLS ---- */

static void date(int64_t seconds, char out[32])
{
    time_t when = (time_t)seconds;
    struct tm tm;
    if (!seconds || !gmtime_r(&when, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm))
        (void)snprintf(out, 32, "unknown");
}

static bool put_certificate(const struct facts *f, struct buf *out)
{
    const struct tls_shown_info *c = &f->tls.certificate;
    char from[32], until[32], dates[80], verified[FACTS_TEXT];
    date(c->not_before, from);
    date(c->not_after, until);
    (void)snprintf(dates, sizeof dates, "%s to %s", from, until);
    (void)snprintf(verified, sizeof verified, "%s%s",
                   c->verified ? "by the system's authorities" : "not by the system's authorities: ",
                   !c->verified         ? c->verify_error
                   : facts_name_good(f) ? ", and it names this host"
                                        : ", but it does not name this host");
    return row(out, "subject", *c->subject ? c->subject : "(empty)") &&
           row(out, "names", *c->names ? c->names : "(none)") &&
           row(out, "issuer", c->self_signed ? "itself" : c->issuer) && row(out, "key", c->key) &&
           row(out, "valid", dates) && row(out, "verified", verified) && row(out, "pin", c->pin);
}

static bool put_tls(const struct facts *f, struct buf *out)
{
    static const char *const states[] = {[FACTS_TLS_NOT_OFFERED] = "not offered",
                                         [FACTS_TLS_NOT_ASKED] = "offered, not tried (--tls none)",
                                         [FACTS_TLS_WORKS] = "works",
                                         [FACTS_TLS_FAILED] = "failed"};
    const struct facts_tls *t = &f->tls;
    if (!f->verb && t->state == FACTS_TLS_NOT_OFFERED)
        return true;
    if (!heading(out, "TLS") ||
        !row(out, t->implicit ? "from the first byte" : "STARTTLS", states[t->state]) ||
        (*t->error && !row(out, "failure", t->error)))
        return false;
    return t->state != FACTS_TLS_WORKS || (row(out, "version", t->version) && row(out, "cipher", t->cipher) &&
                                           (!t->shown || put_certificate(f, out)));
}

static bool put_auth(const struct facts *f, struct buf *out)
{
    const struct facts_offer *offers[] = {&f->clear, &f->secure};
    static const char *const names[] = {"in clear", "in TLS"};
    bool good = !f->verb || heading(out, "AUTH");
    for (size_t i = 0; good && i < COUNT_OF(offers); i++) {
        char list[EHLO_AUTH_MAX + 1];
        const struct ehlo *e = &offers[i]->ehlo;
        if (!offers[i]->given)
            continue;
        (void)snprintf(list, sizeof list, "%.*s", (int)e->auth_n, e->auth);
        good = row(out, names[i], e->auth_n ? list : "not offered");
    }
    return good;
}

/* ---- identity ---- */

void report_outcome(const struct facts_way *w, char out[REPORT_OUTCOME])
{
    static const char *const words[] = {
        [FACTS_NOT_TRIED] = "not tried",     [FACTS_WORKS] = "works",
        [FACTS_NOT_OFFERED] = "not offered", [FACTS_NOT_EXPECTED] = "not expected",
        [FACTS_REFUSED] = "refused",         [FACTS_FAILED] = "failed"};
    (void)snprintf(out, REPORT_OUTCOME, "%s%s%s", words[w->outcome], *w->detail ? ": " : "", w->detail);
}

static bool put_ways(const struct facts *f, struct buf *out)
{
    static const char *const names[FACTS_WAYS] = {[FACTS_XCLIENT] = "XCLIENT",
                                                  [FACTS_XFORWARD] = "XFORWARD",
                                                  [FACTS_PROXY_V2] = "PROXY version 2",
                                                  [FACTS_PROXY_V1] = "PROXY version 1"};
    bool good = heading(out, "Ways to say who the client is");
    for (size_t i = 0; good && i < FACTS_WAYS; i++) {
        const struct facts_way *w = &f->ways[i];
        char outcome[REPORT_OUTCOME], text[REPORT_OUTCOME + FACTS_TEXT + 32];
        report_outcome(w, outcome);
        (void)snprintf(text, sizeof text, "%s%s%s%s%s", outcome, w->in_tls ? ", in TLS" : "",
                       *w->attributes ? " (" : "", w->attributes, *w->attributes ? ")" : "");
        good = row(out, names[i], text);
    }
    return good;
}

/* ---- what to write ---- */

static bool put_indented(struct buf *out, struct span lines)
{
    bool good = true;
    while (good && lines.n) {
        size_t n = span_find(lines, '\n');
        good = buf_printf(out, "%*s%.*s\n", 2 * INDENT, "", SPAN_FMT(span_head(lines, n)));
        lines = span_skip(lines, n + 1);
    }
    return good;
}

static bool put_upstream(const struct facts *f, struct buf *out)
{
    struct buf yaml = {0};
    struct advice_identity identity = advice_identity(f);
    bool good = advice_upstream(f, &yaml) && heading(out, "For postern's configuration") &&
                buf_printf(out, "%*sidentity: %s\n", INDENT, "", identity.value) &&
                paragraph(out, 2 * INDENT, span_of(identity.why)) && buf_printf(out, "\n") &&
                put_indented(out, buf_span(&yaml));
    buf_free(&yaml);
    return good;
}

static bool put_advice(const struct advice *a, const struct facts *f, struct buf *out)
{
    static const char *const names[FACTS_WAYS] = {[FACTS_XCLIENT] = "XCLIENT",
                                                  [FACTS_XFORWARD] = "XFORWARD",
                                                  [FACTS_PROXY_V2] = "PROXY",
                                                  [FACTS_PROXY_V1] = "PROXY"};
    struct buf lines = {0}, note = {0};
    bool good = advice_lines(a, f, &lines) && advice_note(a, f, &note);
    if (good && a->where)
        good = buf_printf(out, "\n%*s%s, %s, in %s:\n", INDENT, "", kind_name(a->kind), names[a->way],
                          a->where) &&
               put_indented(out, buf_span(&lines));
    else if (good)
        good = buf_printf(out, "\n");
    good = good && paragraph(out, INDENT, buf_span(&note));
    buf_free(&lines);
    buf_free(&note);
    return good;
}

static bool put_advices(const struct facts *f, struct buf *out)
{
    size_t at = 0;
    bool others = f->kind == FACTS_UNKNOWN;
    bool good = heading(out, "For the server's configuration, where a way that does not work yet is wanted");
    for (const struct advice *a; good && (a = advice_next(f, &at));) {
        if (!others && a->kind != f->kind) {
            others = true;
            good = heading(out, "The same for other servers, in case that this one is not what it says");
        }
        good = good && put_advice(a, f, out);
    }
    return good;
}

bool report_text(const struct facts *f, struct buf *out)
{
    bool whole = f->verb != NULL;
    return buf_printf(out, "Probe of %s, port %u\n", f->host, f->port) && put_server(f, out) &&
           put_offers(f, out) && put_tls(f, out) && put_auth(f, out) &&
           (!whole || (put_ways(f, out) && put_upstream(f, out) && put_advices(f, out)));
}
