/* SPDX-License-Identifier: MIT */
/* A message like plain English mail: a few header fields, then lines of some seventy letters. It is the same
 * in every run. No line begins with a dot, and none of it is meant to match a rule. */
#include "content.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LINE 70
#define CRLF ((size_t)2)

static const char header[] = "From: Bench <bench@client.example>\r\n"
                             "To: <sink@server.example>\r\n"
                             "Subject: minutes of the meeting\r\n"
                             "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
                             "Message-ID: <1@client.example>\r\n"
                             "MIME-Version: 1.0\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\n"
                             "\r\n";
static const char *const vocabulary[] = {
    "the",  "of",     "and",   "to",     "in",      "a",     "is",    "that",  "for",      "it",   "as",
    "was",  "with",   "be",    "by",     "on",      "not",   "this",  "are",   "or",       "from", "but",
    "have", "letter", "which", "paper",  "morning", "river", "house", "table", "question", "road", "before",
    "year", "water",  "light", "answer", "number",  "small", "never", "ship",  "garden",   "wood", "evening",
};

struct writer {
    char *p;
    size_t n, size, column;
    uint32_t chance;
};

static void put(struct writer *w, const char *s, size_t n)
{
    if (n > w->size - w->n)
        n = w->size - w->n;
    memcpy(w->p + w->n, s, n);
    w->n += n;
    w->column += n;
}

static void put_word(struct writer *w)
{
    w->chance = w->chance * 1664525 + 1013904223;
    const char *word = vocabulary[(w->chance >> 16) % (sizeof(vocabulary) / sizeof(*vocabulary))];
    put(w, word, strlen(word));
    if (w->column >= LINE) {
        put(w, "\r\n", CRLF);
        w->column = 0;
    } else {
        put(w, " ", 1);
    }
}

/* The last line ends where the message does, whatever was being written. */
static void end_cleanly(struct writer *w)
{
    for (size_t i = w->n >= 2 * CRLF ? w->n - 2 * CRLF : 0; i < w->n; i++)
        w->p[i] = 'x';
    if (w->n >= CRLF)
        memcpy(w->p + w->n - CRLF, "\r\n", CRLF);
}

char *content_make(size_t size, const char *more, size_t more_n, size_t *length_r)
{
    static const char dot[] = ".\r\n";
    struct writer w = {.p = malloc(size + sizeof(dot) + more_n), .size = size, .chance = 1};
    if (!w.p)
        return NULL;
    put(&w, header, sizeof(header) - 1);
    w.column = 0;
    while (w.n < size)
        put_word(&w);
    end_cleanly(&w);
    memcpy(w.p + size, dot, sizeof(dot) - 1);
    if (more_n)
        memcpy(w.p + size + sizeof(dot) - 1, more, more_n);
    *length_r = size + sizeof(dot) - 1 + more_n;
    return w.p;
}
