/* SPDX-License-Identifier: MIT */
/* The transfer decoders. Each takes a byte at a time from any state, so the input may be cut anywhere; the
 * output of a stream is never longer than its input, so nothing can be blown up by decoding.
 *
 *   quoted-printable:   TEXT --'='--> EQUAL --digit--> DIGIT --digit--> byte, TEXT
 *                                       |--blank--> BLANK --+
 *                                       |--CR-------> CR ---+--LF--> (soft line break) TEXT */
#include "filters/transfer.h"

enum qp_state { QP_TEXT, QP_EQUAL, QP_DIGIT, QP_BLANK, QP_CR };

void transfer_begin(struct transfer *t, enum transfer_kind kind)
{
    *t = (struct transfer){.kind = kind};
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- base64 ---- */

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Writes the whole bytes of a group of `digits` and begins the next one. */
static char *base64_flush(struct transfer *t, char *to)
{
    unsigned digits = t->state;

    if (digits == 1)
        t->bad = true; /* six bits are no byte */
    t->group <<= 6 * (4 - digits);
    if (digits >= 2)
        *to++ = (char)(t->group >> 16);
    if (digits >= 3)
        *to++ = (char)(t->group >> 8);
    if (digits == 4)
        *to++ = (char)t->group;
    t->state = 0;
    t->group = 0;
    return to;
}

static char *base64_byte(struct transfer *t, char c, char *to)
{
    int digit = base64_digit(c);

    if (digit >= 0) {
        t->bad = t->bad || t->padded; /* two streams in one: both are read */
        t->group = t->group << 6 | (uint32_t)digit;
        return ++t->state == 4 ? base64_flush(t, to) : to;
    }
    if (c == '=') {
        t->bad = t->bad || (t->state == 0 && !t->padded);
        t->padded = true;
        return t->state ? base64_flush(t, to) : to;
    }
    if (c != '\r' && c != '\n' && c != ' ' && c != '\t')
        t->bad = true;
    return to;
}

/* ---- quoted-printable ---- */

static char *qp_byte(struct transfer *t, char c, char *to);

/* What looked like an escape is none: it stands for itself, and c is read anew. */
static char *qp_literal(struct transfer *t, char c, char *to)
{
    t->bad = true;
    *to++ = '=';
    if (t->state == QP_DIGIT)
        *to++ = t->high;
    else if (t->state == QP_BLANK)
        *to++ = ' ';
    else if (t->state == QP_CR)
        *to++ = '\r';
    t->state = QP_TEXT;
    return qp_byte(t, c, to);
}

static char *qp_after_equal(struct transfer *t, char c, char *to)
{
    if (t->state == QP_EQUAL && hex_digit(c) >= 0) {
        t->high = c;
        t->state = QP_DIGIT;
    } else if (c == '\n') {
        t->state = QP_TEXT;
    } else if (c == '\r' && t->state != QP_CR) {
        t->state = QP_CR;
    } else if ((c == ' ' || c == '\t') && t->state != QP_CR) {
        t->state = QP_BLANK;
    } else {
        return qp_literal(t, c, to);
    }
    return to;
}

static char *qp_byte(struct transfer *t, char c, char *to)
{
    switch ((enum qp_state)t->state) {
    case QP_TEXT:
        if (c == '=')
            t->state = QP_EQUAL;
        else
            *to++ = c;
        return to;
    case QP_DIGIT:
        if (hex_digit(c) < 0)
            return qp_literal(t, c, to);
        *to++ = (char)(hex_digit(t->high) * 16 + hex_digit(c));
        t->state = QP_TEXT;
        return to;
    case QP_EQUAL:
    case QP_BLANK:
    case QP_CR:
        return qp_after_equal(t, c, to);
    }
    return to;
}

/* ---- both ---- */

size_t transfer_decode(struct transfer *t, struct span in, char *out)
{
    char *to = out;

    switch (t->kind) {
    case TRANSFER_IDENTITY:
        if (in.n)
            memcpy(out, in.p, in.n);
        return in.n;
    case TRANSFER_BASE64:
        for (size_t i = 0; i < in.n; i++)
            to = base64_byte(t, in.p[i], to);
        break;
    case TRANSFER_QP:
        for (size_t i = 0; i < in.n; i++)
            to = qp_byte(t, in.p[i], to);
        break;
    }
    return (size_t)(to - out);
}

size_t transfer_end(struct transfer *t, char out[TRANSFER_MORE])
{
    char *to = out;

    if (t->kind == TRANSFER_BASE64 && t->state) {
        t->bad = true; /* the padding is missing */
        to = base64_flush(t, to);
    } else if (t->kind == TRANSFER_QP && t->state == QP_DIGIT) {
        t->bad = true;
        *to++ = '=';
        *to++ = t->high;
    }
    t->state = 0;
    return (size_t)(to - out);
}
