/* SPDX-License-Identifier: MIT */
/* Sockets and TLS for the load generator and the sink. Both use it alike, so that neither flatters a proxy:
 * no Nagle, no resumed sessions, records as large as OpenSSL makes them. A link belongs to the connection
 * that embeds it and ends with link_close. */
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

/* ---- sockets ---- */

int link_listen(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

uint16_t link_port(int fd)
{
    struct sockaddr_in at;
    socklen_t n = sizeof(at);
    return getsockname(fd, (struct sockaddr *)&at, &n) == 0 ? ntohs(at.sin_port) : 0;
}

static void no_delay(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

bool link_accept(struct link *l, int listener)
{
    l->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    l->ssl = NULL;
    if (l->fd < 0)
        return false;
    no_delay(l->fd);
    return true;
}

bool link_connect(struct link *l, uint16_t port)
{
    struct sockaddr_in to = loopback(port);
    l->ssl = NULL;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return false;
    no_delay(l->fd);
    if (connect(l->fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS)
        return true;
    link_close(l);
    return false;
}

bool link_connected(const struct link *l)
{
    int error = 0;
    socklen_t n = sizeof(error);
    return getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && !error;
}

/* ---- TLS ---- */

static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

SSL_CTX *link_tls_server(const char *certificate, const char *key)
{
    SSL_CTX *ctx = new_context(TLS_server_method());
    if (ctx && SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
        SSL_CTX_use_certificate_chain_file(ctx, certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

SSL_CTX *link_tls_client(void)
{
    SSL_CTX *ctx = new_context(TLS_client_method());
    if (ctx)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    return ctx;
}

bool link_secure(struct link *l, SSL_CTX *ctx, bool server)
{
    l->ssl = SSL_new(ctx);
    if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1)
        return false;
    if (server)
        SSL_set_accept_state(l->ssl);
    else
        SSL_set_connect_state(l->ssl);
    return true;
}

static enum link_result tls_result(struct link *l, int returned)
{
    switch (SSL_get_error(l->ssl, returned)) {
    case SSL_ERROR_NONE:
        return LINK_DONE;
    case SSL_ERROR_WANT_READ:
        return LINK_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return LINK_WANTS_WRITE;
    default:
        return LINK_CLOSED;
    }
}

enum link_result link_handshake(struct link *l)
{
    ERR_clear_error();
    return tls_result(l, SSL_do_handshake(l->ssl));
}

/* ---- bytes ---- */

static enum link_result socket_result(ssize_t n, enum link_result wants)
{
    if (n > 0)
        return LINK_DONE;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? wants : LINK_CLOSED;
}

enum link_result link_read(struct link *l, char *p, size_t n, size_t *got_r)
{
    *got_r = 0;
    if (l->ssl) {
        ERR_clear_error();
        return tls_result(l, SSL_read_ex(l->ssl, p, n, got_r));
    }
    ssize_t got = recv(l->fd, p, n, 0);
    *got_r = got > 0 ? (size_t)got : 0;
    return socket_result(got, LINK_WANTS_READ);
}

enum link_result link_write(struct link *l, const char *p, size_t n, size_t *sent_r)
{
    *sent_r = 0;
    if (l->ssl) {
        ERR_clear_error();
        return tls_result(l, SSL_write_ex(l->ssl, p, n, sent_r));
    }
    ssize_t sent = send(l->fd, p, n, MSG_NOSIGNAL);
    *sent_r = sent > 0 ? (size_t)sent : 0;
    return socket_result(sent, LINK_WANTS_WRITE);
}

bool link_pending(const struct link *l)
{
    return l->ssl && SSL_pending(l->ssl) > 0;
}

void link_close(struct link *l)
{
    if (l->ssl) {
        if (SSL_is_init_finished(l->ssl))
            (void)SSL_shutdown(l->ssl);
        SSL_free(l->ssl);
        l->ssl = NULL;
    }
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
