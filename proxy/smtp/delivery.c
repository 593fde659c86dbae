/* SPDX-License-Identifier: MIT */
/* Rules of DELIVERBY, MT-PRIORITY and FUTURERELEASE. Each looks at one text and says whether its RFC knows
 * such a one; nothing is kept or changed, so what passes goes on as it was written. Owns nothing.
 *
 *   "2030-02-28T23:59:60Z" --> take_date, 'T', take_clock, take_zone --> nothing left: good
 */
#include "smtp/delivery.h"

#define SECONDS_DIGITS 9u
#define TOKENS_MAX     40u
#define PROFILE_MAX    40u

/* ---- small pieces, taken from the front ---- */

static bool take_char(struct span *s, char c)
{
    bool here = s->n && ascii_upper(s->p[0]) == c;
    if (here)
        *s = span_skip(*s, 1);
    return here;
}

static size_t digits_at_front(struct span s)
{
    size_t n = 0;
    while (n < s.n && ascii_digit(s.p[n]))
        n++;
    return n;
}

/* Exactly `digits` digits whose number is in the range. */
static bool take_number(struct span *s, size_t digits, unsigned min, unsigned max, unsigned *number_r)
{
    unsigned number = 0;
    for (size_t i = 0; i < digits; i++) {
        if (i == s->n || !ascii_digit(s->p[i]))
            return false;
        number = number * 10 + (unsigned)(s->p[i] - '0');
    }
    *s = span_skip(*s, digits);
    *number_r = number;
    return number >= min && number <= max;
}

static bool only_zeros(struct span digits)
{
    for (size_t i = 0; i < digits.n; i++)
        if (digits.p[i] != '0')
            return false;
    return true;
}

/* ---- DELIVERBY ---- */

/* by-time ";" by-mode [by-trace]. A message cannot be returned (R) at a time that is over already. */
bool delivery_by_ok(struct span v)
{
    bool negative = take_char(&v, '-');
    if (!negative)
        (void)take_char(&v, '+');
    size_t n = digits_at_front(v);
    struct span seconds = span_head(v, n);
    v = span_skip(v, n);
    if (n == 0 || n > SECONDS_DIGITS || !take_char(&v, ';'))
        return false;
    bool notify = take_char(&v, 'N');
    if (!notify && (!take_char(&v, 'R') || negative || only_zeros(seconds)))
        return false;
    (void)take_char(&v, 'T');
    return v.n == 0;
}

bool delivery_by_offer_ok(struct span v)
{
    size_t n = digits_at_front(v);
    if (n > SECONDS_DIGITS || v.n > TOKENS_MAX || (n < v.n && v.p[n] != ','))
        return false;
    for (size_t i = n; i < v.n; i++)
        if ((unsigned char)v.p[i] <= ' ' || (unsigned char)v.p[i] >= 0x7F)
            return false;
    return true;
}

/* ---- MT-PRIORITY ---- */

bool delivery_priority_ok(struct span v)
{
    bool negative = take_char(&v, '-');
    return v.n == 1 && ascii_digit(v.p[0]) && !(negative && v.p[0] == '0');
}

bool delivery_priority_offer_ok(struct span v)
{
    for (size_t i = 0; i < v.n; i++)
        if (!ascii_alpha(v.p[i]) && !ascii_digit(v.p[i]) && v.p[i] != '-' && v.p[i] != '_')
            return false;
    return v.n <= PROFILE_MAX;
}

/* ---- FUTURERELEASE ---- */

bool delivery_seconds_ok(struct span v)
{
    return v.n > 0 && v.n <= SECONDS_DIGITS && v.p[0] != '0' && digits_at_front(v) == v.n;
}

static unsigned days_of(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

static bool take_date(struct span *s)
{
    unsigned year, month, day;
    return take_number(s, 4, 0, 9999, &year) && take_char(s, '-') && take_number(s, 2, 1, 12, &month) &&
           take_char(s, '-') && take_number(s, 2, 1, days_of(year, month), &day);
}

/* Second 60 is a leap second; fractions may have any number of digits that the line has room for. */
static bool take_clock(struct span *s)
{
    unsigned hour, minute, second;
    if (!take_number(s, 2, 0, 23, &hour) || !take_char(s, ':') || !take_number(s, 2, 0, 59, &minute) ||
        !take_char(s, ':') || !take_number(s, 2, 0, 60, &second))
        return false;
    if (!take_char(s, '.'))
        return true;
    size_t n = digits_at_front(*s);
    *s = span_skip(*s, n);
    return n > 0;
}

static bool take_zone(struct span *s)
{
    unsigned hour, minute;
    if (take_char(s, 'Z'))
        return true;
    return (take_char(s, '+') || take_char(s, '-')) && take_number(s, 2, 0, 23, &hour) && take_char(s, ':') &&
           take_number(s, 2, 0, 59, &minute);
}

bool delivery_time_ok(struct span v)
{
    return take_date(&v) && take_char(&v, 'T') && take_clock(&v) && take_zone(&v) && v.n == 0;
}

bool delivery_hold_offer_ok(struct span v)
{
    size_t n = span_find(v, ' ');
    return delivery_seconds_ok(span_head(v, n)) && delivery_time_ok(span_skip(v, n + 1));
}
