/* SPDX-License-Identifier: MIT */
/* Lists. They belong to the rule set and are read-only once read. Words are a hash table; networks are one
 * too, asked once for each prefix length that occurs, so both take constant time. */
#include "list.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESS = 16, NETWORK = 1 + ADDRESS };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* ---- addresses ---- */

/* IPv4 becomes IPv4-mapped, so that there is one kind. */
static bool take_address(const char *p, size_t n, uint8_t address_r[ADDRESS], bool *v4_r)
{
    char text[INET6_ADDRSTRLEN];
    if (n == 0 || n >= sizeof text || memchr(p, 0, n))
        return false;
    memcpy(text, p, n);
    text[n] = '\0';
    memset(address_r, 0, 10);
    memset(address_r + 10, 0xff, 2);
    *v4_r = inet_pton(AF_INET, text, address_r + 12) == 1;
    return *v4_r || inet_pton(AF_INET6, text, address_r) == 1;
}

static void make_key(uint8_t key_r[NETWORK], const uint8_t address[ADDRESS], unsigned prefix)
{
    key_r[0] = (uint8_t)prefix;
    for (unsigned i = 0; i < ADDRESS; i++) {
        unsigned bits = prefix > i * 8 ? prefix - i * 8 : 0;
        uint8_t mask = (uint8_t)(0xff00u >> (bits < 8 ? bits : 8));
        key_r[1 + i] = (uint8_t)(address[i] & mask);
    }
}

static bool take_prefix(const char *p, size_t n, unsigned most, unsigned *prefix_r)
{
    *prefix_r = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9' || i > 2)
            return false;
        *prefix_r = *prefix_r * 10 + (unsigned)(p[i] - '0');
    }
    return n > 0 && *prefix_r <= most;
}

static void note_prefix(struct list *list, uint8_t prefix)
{
    size_t i = 0;
    while (i < list->prefixes_n && list->prefixes[i] > prefix)
        i++;
    if (i < list->prefixes_n && list->prefixes[i] == prefix)
        return;
    memmove(list->prefixes + i + 1, list->prefixes + i, list->prefixes_n - i);
    list->prefixes[i] = prefix;
    list->prefixes_n++;
}

/* ---- reading ---- */

/* NULL: taken, or no network and so left alone (*is_r). Else what is wrong. */
static const char *add_network(struct list *list, const char *p, size_t n, bool *is_r)
{
    const char *slash = memchr(p, '/', n);
    size_t address_n = slash ? (size_t)(slash - p) : n;
    uint8_t address[ADDRESS], key[NETWORK];
    unsigned prefix = 128;
    bool v4 = false;
    *is_r = take_address(p, address_n, address, &v4);
    if (!*is_r)
        return NULL;
    if (slash) {
        if (!take_prefix(slash + 1, n - address_n - 1, v4 ? 32 : 128, &prefix))
            return "the length behind '/' is at most 32 for IPv4, 128 for IPv6";
        prefix += v4 ? 96 : 0;
    }
    make_key(key, address, prefix);
    if (memcmp(key + 1, address, ADDRESS) != 0)
        return "the address has bits behind the length of its network; write the network's own address";
    note_prefix(list, (uint8_t)prefix);
    if (words_add(&list->networks, (const char *)key, sizeof key) == WORDS_NONE)
        return "out of memory";
    return NULL;
}

static const char *add_entry(struct list *list, const char *p, size_t n)
{
    static const char digest[] = "sha256:";
    char small[LIST_ENTRY_MAX];
    bool network = false;
    if (n > sizeof small)
        return "the entry is too long: at most 1024 bytes";
    const char *error = add_network(list, p, n, &network);
    if (network || error)
        return error;
    for (size_t i = 0; i < n; i++)
        small[i] = lower(p[i]);
    if (n >= sizeof digest - 1 && memcmp(small, digest, sizeof digest - 1) == 0) {
        if (n != sizeof digest - 1 + 64 || strspn(small + 7, "0123456789abcdef") < 64)
            return "a sha256: entry has 64 hexadecimal digits";
        list->digests = true;
    }
    return words_add(&list->words, small, n) == WORDS_NONE ? "out of memory" : NULL;
}

int list_read(struct list *list, const struct postern_host *host, void *self, const char *file,
              struct postern_span bytes)
{
    int result = 0;
    uint32_t line = 0;
    while (bytes.n > 0) {
        const char *feed = memchr(bytes.p, '\n', bytes.n);
        size_t n = feed ? (size_t)(feed - bytes.p) : bytes.n, end = n, at = 0;
        line++;
        while (at < end && is_blank(bytes.p[at]))
            at++;
        while (end > at && is_blank(bytes.p[end - 1]))
            end--;
        const char *error = NULL;
        if (at < end && bytes.p[at] != '#')
            error = list->words.n + list->networks.n < LIST_ENTRIES_MAX
                        ? add_entry(list, bytes.p + at, end - at)
                        : "too many entries: at most 4000000 in one list";
        if (error) {
            host->file_error(self, file, line, (uint32_t)at + 1, "%s", error);
            result = -1;
        }
        bytes.p += n + (feed != NULL);
        bytes.n -= n + (feed != NULL);
    }
    return result;
}

/* ---- looking up ---- */

static bool has_word(const struct list *list, const char *p, size_t n)
{
    return words_find(&list->words, p, n) != WORDS_NONE;
}

static bool has_network(const struct list *list, const char *p, size_t n)
{
    uint8_t address[ADDRESS], key[NETWORK];
    bool v4 = false;
    if (list->prefixes_n == 0 || !take_address(p, n, address, &v4))
        return false;
    for (size_t i = 0; i < list->prefixes_n; i++) {
        make_key(key, address, list->prefixes[i]);
        if (words_find(&list->networks, (const char *)key, sizeof key) != WORDS_NONE)
            return true;
    }
    return false;
}

static bool has_host(const struct list *list, const char *p, size_t n)
{
    if (n > 1 && p[0] == '[' && p[n - 1] == ']') { /* an address literal */
        bool v6 = n > 7 && memcmp(p + 1, "ipv6:", 5) == 0;
        size_t from = v6 ? 6 : 1;
        return has_network(list, p + from, n - from - 1);
    }
    if (has_network(list, p, n))
        return true;
    while (n > 0 && p[n - 1] == '.')
        n--;
    while (n > 0) {
        if (has_word(list, p, n))
            return true;
        const char *dot = memchr(p, '.', n);
        size_t skip = dot ? (size_t)(dot - p) + 1 : n;
        p += skip;
        n -= skip;
    }
    return false;
}

static bool has_mailbox(const struct list *list, const char *p, size_t n)
{
    const char *at = memrchr(p, '@', n);
    if (has_word(list, p, n))
        return true;
    if (!at)
        return false;
    size_t rest = n - (size_t)(at - p);
    return has_word(list, at, rest) || has_host(list, at + 1, rest - 1);
}

/* What may be a mailbox in a field's value: each run of other characters than these that has an '@'. */
static bool has_mailboxes(const struct list *list, const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t from = i;
        while (i < n && (unsigned char)p[i] > ' ' && !strchr("<>,;:()\"[]", p[i]))
            i++;
        if (memchr(p + from, '@', i - from) && has_mailbox(list, p + from, i - from))
            return true;
        i++;
    }
    return false;
}

static size_t span_until(const char *p, size_t n, const char *stops)
{
    size_t i = 0;
    while (i < n && p[i] != '\0' && !strchr(stops, p[i]))
        i++;
    return i;
}

/* scheme://user@HOST:port/… */
static bool has_url(const struct list *list, const char *p, size_t n)
{
    const char *slashes = memmem(p, n, "://", 3);
    size_t skip = slashes ? (size_t)(slashes - p) + 3 : 0;
    p += skip;
    n = span_until(p, n - skip, "/?#\\");
    const char *at = n ? memrchr(p, '@', n) : NULL;
    skip = at ? (size_t)(at - p) + 1 : 0;
    p += skip;
    n -= skip;
    size_t end = span_until(p, n, n > 0 && p[0] == '[' ? "]" : ":");
    return has_host(list, p, end < n && p[end] == ']' ? end + 1 : end);
}

static bool has_digest(const struct list *list, const char *p, size_t n)
{
    char text[7 + 64 + 1] = "sha256:";
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(p, n, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    for (size_t i = 0; i < 32; i++)
        (void)snprintf(text + 7 + i * 2, 3, "%02x", digest[i]);
    return has_word(list, text, sizeof text - 1);
}

static bool has(const struct list *list, enum list_key key, const char *p, size_t n)
{
    if (has_word(list, p, n) || (list->digests && has_digest(list, p, n)))
        return true;
    switch (key) {
    case KEY_ADDRESS:
        return has_network(list, p, n);
    case KEY_HOST:
        return has_host(list, p, n);
    case KEY_MAILBOX:
        return has_mailbox(list, p, n);
    case KEY_MAILBOXES:
        return has_mailboxes(list, p, n);
    case KEY_URL:
        return has_url(list, p, n);
    case KEY_WORD:
    case KEY_NONE:
        break;
    }
    return false;
}

int list_has(const struct list *list, enum list_key key, const char *p, size_t n)
{
    char on_stack[LIST_ENTRY_MAX];
    if (!n)
        return 0; /* no entry is empty */
    char *small = n <= sizeof on_stack ? on_stack : malloc(n);
    if (!small)
        return -1;
    for (size_t i = 0; i < n; i++)
        small[i] = lower(p[i]);
    bool found = has(list, key, small, n);
    if (small != on_stack)
        free(small);
    return found;
}

void list_free(struct list **list)
{
    if (!*list)
        return;
    words_free(&(*list)->words);
    words_free(&(*list)->networks);
    free((*list)->name);
    free(*list);
    *list = NULL;
}
