/* SPDX-License-Identifier: MIT */
/* Whose login is this? postern relays AUTH and needs only the name, for limits and for the log.
 *
 *   "AGpvZQBzM2NyZXQ=" -> decoded, in memory that is wiped -> extractor of the mechanism -> name
 *
 * The caller owns the struct; nothing else outlives a call. A password is never copied out of the decoded
 * response. */
#include "smtp/text.h"

#include "base/base64.h"
#include "smtp/command.h"

#define RESPONSE_MAX 16384u /* above the 12,288 octets of RFC 4954 */

/* ---- extractors: the name inside one decoded response, or an empty span ---- */

/* "authzid NUL authcid NUL password" (RFC 4616) */
static struct span name_plain(struct span s, unsigned response)
{
    (void)response;
    s = span_skip(s, span_find(s, '\0') + 1);
    size_t n = span_find(s, '\0');
    return n < s.n ? span_head(s, n) : SPAN_NONE;
}

/* The first response is the name; the second, which is the password, must never be taken for it. After an
 * empty first one servers differ about what the second is, so there is no name then. */
static struct span name_login(struct span s, unsigned response)
{
    return response == 1 ? s : SPAN_NONE;
}

/* "name digest" (RFC 2195); the name may have blanks. */
static struct span name_cram(struct span s, unsigned response)
{
    (void)response;
    size_t n = s.n;
    while (n > 0 && s.p[n - 1] != ' ')
        n--;
    return n ? span_head(s, n - 1) : SPAN_NONE;
}

/* Behind a GS2 header "flag,[a=authzid],": what follows it, and the authzid (RFC 5801 4). */
static struct span skip_gs2(struct span s, struct span *authzid_r)
{
    s = span_skip(s, span_find(s, ',') + 1);
    size_t n = span_find(s, ',');
    *authzid_r = span_istarts(s, SPAN_LIT("a=")) ? span_skip(span_head(s, n), 2) : SPAN_NONE;
    return span_skip(s, n + 1);
}

/* "n,[a=authzid],n=name,r=nonce" (RFC 5802 7) */
static struct span name_scram(struct span s, unsigned response)
{
    struct span authzid;
    s = skip_gs2(s, &authzid);
    if (response != 1 || !span_istarts(s, SPAN_LIT("n=")))
        return SPAN_NONE;
    return span_skip(span_head(s, span_find(s, ',')), 2);
}

/* "n,a=name,^Ahost=…^A…" (RFC 7628 3.1) */
static struct span name_oauthbearer(struct span s, unsigned response)
{
    struct span authzid;
    (void)skip_gs2(s, &authzid);
    return response == 1 ? authzid : SPAN_NONE;
}

/* "user=name^Aauth=Bearer …^A^A" */
static struct span name_xoauth2(struct span s, unsigned response)
{
    const struct span key = SPAN_LIT("user=");
    if (response != 1 || !span_istarts(s, key))
        return SPAN_NONE;
    size_t n = span_find(s, '\001');
    return n < s.n ? span_skip(span_head(s, n), key.n) : SPAN_NONE;
}

struct extractor {
    struct span mechanism;
    bool family; /* all mechanisms that begin so */
    bool commas; /* "," and "=" in the name stand as =2C and =3D */
    struct span (*name)(struct span response, unsigned which);
};

static const struct extractor extractors[] = {
    {{"PLAIN", 5}, false, false, name_plain},     {{"LOGIN", 5}, false, false, name_login},
    {{"CRAM-MD5", 8}, false, false, name_cram},   {{"SCRAM-", 6}, true, true, name_scram},
    {{"XOAUTH2", 7}, false, false, name_xoauth2}, {{"OAUTHBEARER", 11}, false, true, name_oauthbearer},
};

static const struct extractor *find_extractor(struct span mechanism)
{
    for (size_t i = 0; i < COUNT_OF(extractors); i++) {
        const struct extractor *e = &extractors[i];
        if (e->family ? span_istarts(mechanism, e->mechanism) : span_eq(mechanism, e->mechanism))
            return e;
    }
    return NULL;
}

/* ---- the name, as it is kept ---- */

static char take_name_char(struct span *s, bool commas)
{
    char c = s->p[0];
    if (commas && (span_istarts(*s, SPAN_LIT("=2C")) || span_istarts(*s, SPAN_LIT("=3D")))) {
        c = s->p[1] == '2' ? ',' : '=';
        *s = span_skip(*s, 2);
    }
    *s = span_skip(*s, 1);
    return c;
}

/* Names may be UTF-8 (SASLprep). What no name should have does not get further than here. */
static void keep_name(struct sasl_user *u, struct span name, bool commas)
{
    bool utf8 = utf8_ok(name);
    u->name_n = 0;
    while (name.n && u->name_n < sizeof u->name) {
        char c = take_name_char(&name, commas);
        bool odd = (unsigned char)c < 0x20 || c == 0x7F || ((unsigned char)c > 0x7F && !utf8);
        u->name[u->name_n++] = odd ? '?' : c;
    }
    while (utf8 && u->name_n && !utf8_ok(span_make(u->name, u->name_n)))
        u->name_n--; /* a character was cut at the end */
}

bool sasl_user_begin(struct sasl_user *u, struct span mechanism)
{
    *u = (struct sasl_user){0};
    if (mechanism.n == 0 || mechanism.n > 20)
        return false;
    for (size_t i = 0; i < mechanism.n; i++) {
        char c = ascii_upper(mechanism.p[i]);
        if (!ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_')
            return false;
        u->mechanism[i] = c;
    }
    u->mechanism_n = mechanism.n;
    return true;
}

void sasl_user_response(struct sasl_user *u, struct span base64)
{
    const struct extractor *e = find_extractor(span_make(u->mechanism, u->mechanism_n));
    struct buf secret = {0};
    u->responses++;
    if (!e || u->name_n || base64.n > RESPONSE_MAX || !base64_decode(base64, &secret))
        return; /* "=" (an empty initial response) and "*" (giving up) are no base64 either */
    keep_name(u, e->name(buf_span(&secret), u->responses), e->commas);
    if (secret.data)
        wipe(secret.data, secret.cap);
    buf_free(&secret);
}
