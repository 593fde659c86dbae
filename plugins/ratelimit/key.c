/* SPDX-License-Identifier: MIT */
/* See key.h. Owns nothing: parts belong to their limit, texts to the caller. */
#include "key.h"

#include "hash.h"

#include <arpa/inet.h>

enum { NAME_MAX_BYTES = 24, DIGEST_HEX = 32 };

static const struct key_name {
    struct postern_span name;
    enum key_kind kind;
} names[] = {
    {{"client", 6}, KEY_CLIENT},     {{"user", 4}, KEY_USER},
    {{"sender", 6}, KEY_SENDER},     {{"sender_domain", 13}, KEY_SENDER_DOMAIN},
    {{"recipient", 9}, KEY_RCPT},    {{"recipient_domain", 16}, KEY_RCPT_DOMAIN},
    {{"listener", 8}, KEY_LISTENER},
};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

const char key_names[] = "client, client/24, client/24/64, user, sender, sender_domain, recipient, "
                         "recipient_domain, listener";

/* ---- from the configuration ---- */

/* "/24" at *rest: 1 and the number, 0 when there is none, -1 when it is out of range. */
static int take_prefix(struct postern_span *rest, unsigned most, unsigned *bits_r)
{
    unsigned bits = 0;
    size_t i = 1;

    if (rest->n == 0 || rest->p[0] != '/')
        return 0;
    for (; i < rest->n && i < 5 && rest->p[i] >= '0' && rest->p[i] <= '9'; i++)
        bits = bits * 10 + (unsigned)(rest->p[i] - '0');
    if (i == 1 || bits > most || (i < rest->n && rest->p[i] != '/'))
        return -1;
    *bits_r = bits;
    rest->p += i;
    rest->n -= i;
    return 1;
}

static enum key_fault take_prefixes(struct postern_span rest, struct key_part *part)
{
    part->bits4 = 32;
    part->bits6 = 128;
    int four = take_prefix(&rest, 32, &part->bits4);
    if (four < 0)
        return KEY_PREFIX4;
    if (four == 0)
        return KEY_OK;
    int six = take_prefix(&rest, 128, &part->bits6);
    if (six < 0 || rest.n)
        return KEY_PREFIX6;
    if (six == 0)
        part->bits6 = 64; /* one customer's network, as a rule */
    return KEY_OK;
}

enum key_fault key_part_parse(struct postern_span text, struct key_part *part_r)
{
    const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
    struct postern_span word = {text.p, slash ? (size_t)(slash - text.p) : text.n};

    for (size_t i = 0; i < NAMES; i++) {
        if (!span_equal(word, names[i].name))
            continue;
        *part_r = (struct key_part){.kind = names[i].kind};
        if (names[i].kind == KEY_CLIENT)
            return take_prefixes((struct postern_span){text.p + word.n, text.n - word.n}, part_r);
        return slash ? KEY_NO_PREFIX : KEY_OK;
    }
    return KEY_UNKNOWN;
}

/* Letters to add, leave out or replace (Levenshtein), with one row of the table. Both are at most
 * NAME_MAX_BYTES. */
static unsigned edits(struct postern_span a, struct postern_span b)
{
    unsigned row[NAME_MAX_BYTES + 1];

    for (unsigned j = 0; j <= b.n; j++)
        row[j] = j;
    for (unsigned i = 0; i < a.n; i++) {
        unsigned corner = row[0]++;
        for (size_t j = 0; j < b.n; j++) {
            unsigned replaced = corner + (ascii_lower(a.p[i]) != b.p[j]);
            unsigned other = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            corner = row[j + 1];
            row[j + 1] = replaced < other ? replaced : other;
        }
    }
    return row[b.n];
}

const char *key_near(struct postern_span text)
{
    const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
    struct postern_span word = {text.p, slash ? (size_t)(slash - text.p) : text.n};
    const char *best = NULL;
    unsigned least = (unsigned)word.n / 3 + 1;

    if (word.n == 0 || word.n > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < NAMES; i++) {
        unsigned d = edits(word, names[i].name);
        if (d <= least) {
            least = d - (d > 0);
            best = names[i].name.p;
        }
    }
    return best;
}

/* ---- the text: the first bytes stand as they are, until there are too many; then all are digested ---- */

struct builder {
    struct key_text *key;
    size_t total;
    struct sha1 digest;
};

static void put(struct builder *b, char c)
{
    if (b->total < KEY_TEXT_MAX) {
        b->key->bytes[b->total++] = c;
        return;
    }
    if (b->total == KEY_TEXT_MAX) {
        sha1_init(&b->digest);
        sha1_add(&b->digest, b->key->bytes, KEY_TEXT_MAX);
    }
    b->total++;
    sha1_add(&b->digest, &c, 1);
}

static bool plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("@._+-=:/~!$&'*?^", c));
}

static void put_text(struct builder *b, struct postern_span text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = ascii_lower(text.p[i]);
        if (plain(c)) {
            put(b, c);
            continue;
        }
        put(b, '%');
        put(b, "0123456789ABCDEF"[(unsigned char)c >> 4]);
        put(b, "0123456789ABCDEF"[(unsigned char)c & 15]);
    }
}

/* A mailbox without what its local part need not have: "a.b"@x and "a\.b"@x are a.b@x (RFC 5321 4.1.2). */
static void put_mailbox(struct builder *b, struct postern_span mailbox)
{
    bool quoted = mailbox.n && mailbox.p[0] == '"';

    for (size_t i = quoted; i < mailbox.n; i++) {
        if (quoted && mailbox.p[i] == '"')
            quoted = false;
        else if (quoted && mailbox.p[i] == '\\' && i + 1 < mailbox.n)
            put_text(b, (struct postern_span){&mailbox.p[++i], 1});
        else
            put_text(b, (struct postern_span){&mailbox.p[i], 1});
    }
}

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Returns -1 for what is no address. */
static int put_network(struct builder *b, struct postern_span ip, const struct key_part *part)
{
    unsigned char address[16];
    char text[INET6_ADDRSTRLEN + 8];

    if (ip.n == 16 && memcmp(ip.p, mapped, sizeof(mapped)) == 0)
        ip = (struct postern_span){ip.p + 12, 4};
    if (ip.n != 4 && ip.n != 16)
        return -1;
    memcpy(address, ip.p, ip.n);
    unsigned bits = ip.n == 4 ? part->bits4 : part->bits6;
    for (unsigned i = bits; i < ip.n * 8; i++)
        address[i / 8] = (unsigned char)(address[i / 8] & ~(0x80u >> i % 8));
    if (!inet_ntop(ip.n == 4 ? AF_INET : AF_INET6, address, text, INET6_ADDRSTRLEN))
        return -1;
    size_t n = strnlen(text, INET6_ADDRSTRLEN);
    int more = snprintf(text + n, sizeof(text) - n, "/%u", bits);
    put_text(b, (struct postern_span){text, n + (size_t)more});
    return 0;
}

static void finish(struct builder *b)
{
    char hex[SHA1_HEX];

    b->key->n = b->total;
    if (b->total <= KEY_TEXT_MAX)
        return;
    sha1_hex(&b->digest, hex);
    b->key->bytes[0] = '#';
    memcpy(b->key->bytes + 1, hex, DIGEST_HEX);
    b->key->n = 1 + DIGEST_HEX;
}

int key_build(const struct key_part *parts, size_t n, const struct key_values *values, struct key_text *key_r)
{
    struct builder b;

    b.key = key_r;
    b.total = 0;
    for (size_t i = 0; i < n; i++) {
        struct postern_span value = values->of[parts[i].kind];
        if (value.n == 0)
            return -1;
        if (i > 0)
            put(&b, '|');
        if (parts[i].kind == KEY_SENDER || parts[i].kind == KEY_RCPT)
            put_mailbox(&b, value);
        else if (parts[i].kind != KEY_CLIENT)
            put_text(&b, value);
        else if (put_network(&b, value, &parts[i]) != 0)
            return -1;
    }
    finish(&b);
    return 0;
}
