/* SPDX-License-Identifier: MIT */
/* Writes JSON, indented, commas and quotes in their places. */
#ifndef CONF_JSON_H
#define CONF_JSON_H

#include "base/buf.h"

struct json { /* zeroed but for out and ok */
    struct buf *out;
    bool ok;    /* false for good after the first failure: no memory */
    bool begun; /* the open object or array has a member: a comma comes before the next */
    int depth;
};

/* `key` NULL: a member of an array, or the whole. */
void json_open(struct json *j, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json *j, char bracket);                 /* '}' or ']' */
void json_string(struct json *j, const char *key, struct span value);
void json_text(struct json *j, const char *key, const char *own);
void json_number(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);

#endif
