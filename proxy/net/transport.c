/* SPDX-License-Identifier: MIT */
/* What both transports share: the reason of a failure, and the end. The conn that embeds a transport calls
 * transport_close when the socket must go and transport_free when the memory goes. */
#include "net/transport.h"
#include "net/tls_ssl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum transport_result transport_fail(struct transport *t, const char *format, ...)
{
    char *why = NULL;
    va_list ap;
    va_start(ap, format);
    int n = vasprintf(&why, format, ap);
    va_end(ap);
    free(t->why);
    t->why = n < 0 ? NULL : why;
    return TRANSPORT_FAILED;
}

const char *transport_why(const struct transport *t)
{
    return t->why ? t->why : "out of memory";
}

void transport_close(struct transport *t, bool reset)
{
    tls_ssl_free(&t->ssl);
    if (t->fd < 0)
        return;
    if (reset) {
        struct linger none = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    (void)close(t->fd);
    t->fd = -1;
}

void transport_free(struct transport *t)
{
    transport_close(t, false);
    free(t->why);
    t->why = NULL;
}
