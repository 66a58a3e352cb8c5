/* SPDX-License-Identifier: MIT */
/* limited.h - a user who may have only so many processes */
#ifndef TESTS_FAULT_CASES_LIMITED_H
#define TESTS_FAULT_CASES_LIMITED_H

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"

/* Root's processes are not limited: become somebody of whom there are none. */
static inline void become_nobody(void)
{
    uid_t uid = 50000 + (uid_t)getpid() % 10000;

    if (getuid() != 0)
        SKIP("only root can become a user who has no other processes");
    if (HARNESS_SANITIZED)
        SKIP("sanitizers need threads of their own");
    CHECK_EQ(setresgid(uid, uid, uid), 0);
    CHECK_EQ(setresuid(uid, uid, uid), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0); /* or /proc/self is not ours any more */
}

/* From now on this process, or another of the same user, can fork only if there are fewer. */
static inline void allow_processes(pid_t pid, rlim_t count)
{
    struct rlimit limit;

    CHECK_EQ(prlimit(pid, RLIMIT_NPROC, NULL, &limit), 0);
    limit.rlim_cur = count;
    CHECK_EQ(prlimit(pid, RLIMIT_NPROC, &limit, NULL), 0);
}

#endif
