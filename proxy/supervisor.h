/* SPDX-License-Identifier: MIT */
/* The process that stands above the workers: it binds, reads what only it may read, starts, reloads, stops.
 * It speaks no SMTP and reads nothing that strangers send. */
#ifndef PROXY_SUPERVISOR_H
#define PROXY_SUPERVISOR_H

/* Exit codes of the program (sysexits.h has the last one). */
enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

/* Runs postern with this configuration until a signal ends it. The exit code. */
int supervisor_run(const char *file);

#endif
