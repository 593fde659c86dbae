/* SPDX-License-Identifier: MIT */
/* The table of scopes. A new one is a row here, a name in scope.h and a hook that brings its subjects. */
#include "scope.h"

#include "names.h"

#include <stdio.h>

/* clang-format off */
const struct scope_row scope_rows[SCOPES] = {
    /*                      name        name   bytes  patterns early key */
    [SCOPE_CLIENT] =       {"client",     false, false, true,  true,  KEY_ADDRESS},
    [SCOPE_LISTENER] =     {"listener",   false, false, true,  true,  KEY_WORD},
    [SCOPE_USER] =         {"user",       false, false, true,  true,  KEY_MAILBOX},
    [SCOPE_HELO] =         {"helo",       false, false, true,  true,  KEY_HOST},
    [SCOPE_FROM] =         {"from",       false, false, true,  true,  KEY_MAILBOX},
    [SCOPE_TO] =           {"to",         false, false, true,  true,  KEY_MAILBOX},
    [SCOPE_HEADER] =       {"header",     true,  false, true,  true,  KEY_MAILBOXES},
    [SCOPE_RAWHEADER] =    {"rawheader",  true,  true,  true,  true,  KEY_NONE},
    [SCOPE_MIMEHEADER] =   {"mimeheader", true,  false, true,  false, KEY_WORD},
    [SCOPE_BODY] =         {"body",       false, true,  true,  false, KEY_NONE},
    [SCOPE_TEXT] =         {"text",       false, false, true,  false, KEY_NONE},
    [SCOPE_HTML] =         {"html",       false, false, true,  false, KEY_NONE},
    [SCOPE_URL] =          {"url",        false, false, true,  false, KEY_URL},
    [SCOPE_FILENAME] =     {"filename",   false, false, true,  false, KEY_WORD},
    [SCOPE_TYPE] =         {"type",       false, false, true,  false, KEY_WORD},
    [SCOPE_FLAG] =         {"flag",       false, false, true,  false, KEY_WORD},
    [SCOPE_SIZE] =         {"size",       false, false, false, false, KEY_NONE},
    [SCOPE_META] =         {"meta",       false, false, false, false, KEY_NONE},
};
/* clang-format on */

enum scope scope_find(const char *p, size_t n)
{
    for (int i = 0; i < SCOPES; i++)
        if (name_is(p, n, scope_rows[i].name))
            return (enum scope)i;
    return SCOPES;
}

const char *scope_suggest(const char *p, size_t n)
{
    const char *names[SCOPES + 1] = {NULL};
    for (int i = 0; i < SCOPES; i++)
        names[i] = scope_rows[i].name;
    return suggest_name(p, n, names);
}

void scope_list(char *text_r, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < SCOPES && at < size; i++) {
        const char *before = i == 0 ? "" : i + 1 == SCOPES ? " and " : ", ";
        int n = snprintf(text_r + at, size - at, "%s%s%s", before, scope_rows[i].name,
                         scope_rows[i].takes_name ? "[:NAME]" : "");
        at += n > 0 ? (size_t)n : 0;
    }
}
