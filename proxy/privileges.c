/* SPDX-License-Identifier: MIT */
/* Dropping privileges, in an order that works: groups before the user, and the signal at the parent's death
 * after both, because the kernel forgets it when the user changes. Of capabilities at most CAP_NET_RAW is
 * kept, and only where the configuration wants connections that come from clients' own addresses. Nothing
 * here owns anything. */
#include "proxy/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(UNDER_SANITIZER)
#define UNDER_SANITIZER 1
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

bool privileges_find(const char *user, struct identity *id_r, char *error, size_t error_size)
{
    *id_r = (struct identity){0};
    if (geteuid() != 0)
        return true;
    errno = 0;
    const struct passwd *p = getpwnam(user);
    if (!p) {
        (void)snprintf(error, error_size,
                       "user \"%s\": %s; workers need it because postern is started as root", user,
                       errno ? strerror(errno) : "there is no such user");
        return false;
    }
    *id_r = (struct identity){.change = p->pw_uid != 0, .uid = p->pw_uid, .gid = p->pw_gid};
    return true;
}

static bool failed(const char *what, char *error, size_t error_size)
{
    (void)snprintf(error, error_size, "%s: %s", what, strerror(errno));
    return false;
}

/* Of root's capabilities only this one is left, which cannot be passed on (no new privileges). Without
 * libcap: it is one system call. */
static bool keep_net_raw(char *error, size_t error_size)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};
    sets[0].effective = sets[0].permitted = 1u << CAP_NET_RAW;
    return syscall(SYS_capset, &head, sets) == 0 || failed("capset", error, error_size);
}

static bool become(const struct identity *id, char *error, size_t error_size)
{
    if (id->borrows_addresses && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return failed("PR_SET_KEEPCAPS", error, error_size);
    if (setgroups(0, NULL) != 0)
        return failed("setgroups", error, error_size);
    if (setresgid(id->gid, id->gid, id->gid) != 0)
        return failed("setresgid", error, error_size);
    if (setresuid(id->uid, id->uid, id->uid) != 0)
        return failed("setresuid", error, error_size);
    if (id->borrows_addresses && !keep_net_raw(error, error_size))
        return false;
    if (setuid(0) == 0) {
        (void)snprintf(error, error_size, "root could be had again after it was given up");
        return false;
    }
    return true;
}

/* Both: a core that goes to a pipe handler does not ask for the limit. */
bool privileges_no_core(char *error, size_t error_size)
{
    const struct rlimit none = {0, 0};
    /* The leak checker looks at its own process like a debugger, which this would forbid. */
    if (!UNDER_SANITIZER && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return failed("PR_SET_DUMPABLE", error, error_size);
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return failed("RLIMIT_CORE", error, error_size);
    return true;
}

bool privileges_drop(const struct identity *id, pid_t parent, char *error, size_t error_size)
{
    if (id->change && !become(id, error, error_size))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed("PR_SET_NO_NEW_PRIVS", error, error_size);
    if (!privileges_no_core(error, error_size))
        return false;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return failed("PR_SET_PDEATHSIG", error, error_size);
    if (getppid() != parent) {
        (void)snprintf(error, error_size, "the supervisor is gone");
        return false;
    }
    return true;
}

void privileges_raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        return; /* fewer sessions at once; accepting rests when descriptors run out */
}
