/* SPDX-License-Identifier: MIT */
/* The service manager's protocol (sd_notify): one datagram with the state. */
#ifndef PROXY_NOTIFY_H
#define PROXY_NOTIFY_H

/* "READY=1". Does nothing where nobody has asked for it ($NOTIFY_SOCKET). */
void notify_manager(const char *state);

#endif
