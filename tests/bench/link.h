/* SPDX-License-Identifier: MIT */
/* One end of a TCP connection that may become TLS; it never blocks. */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum link_result {
    LINK_DONE,
    LINK_WANTS_READ,
    LINK_WANTS_WRITE,
    LINK_CLOSED /* by the peer, or by an error: to a benchmark it is the same */
};

struct link {
    int fd; /* -1: none */
    SSL *ssl;
};

int link_listen(uint16_t port); /* 127.0.0.1; port 0: any that is free. -1: errno */
uint16_t link_port(int fd);
bool link_accept(struct link *l, int listener);
bool link_connect(struct link *l, uint16_t port); /* writable when it is there */
bool link_connected(const struct link *l);

/* Both sides make full handshakes only: no tickets are given and no session is kept. */
SSL_CTX *link_tls_server(const char *certificate, const char *key);
SSL_CTX *link_tls_client(void); /* whose certificate it is does not matter here */
bool link_secure(struct link *l, SSL_CTX *ctx, bool server);
enum link_result link_handshake(struct link *l);

enum link_result link_read(struct link *l, char *p, size_t n, size_t *got_r);
enum link_result link_write(struct link *l, const char *p, size_t n, size_t *sent_r);
bool link_pending(const struct link *l); /* bytes that no socket event will tell of */
void link_close(struct link *l);

#endif
