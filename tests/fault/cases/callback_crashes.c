/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standard.h"

static long same(long x)
{
    sleep_for(10000);
    return x;
}
PP_TASK(long, same, long, x);

static void crash(pp_result *result, void *user)
{
    volatile int *volatile nowhere = NULL;

    (void)result, (void)user;
    signal(SIGSEGV, SIG_DFL); /* sanitizers have a handler for that */
    *nowhere = 1;
}

_Noreturn static void be_client(void)
{
    pp_pool *pool = pool_of(2);

    pp_apply_async(pool, PP_CALL(same, 1), .callback = crash);
    for (int i = 0; i < 1000; i++)
        pp_apply_async(pool, PP_CALL(same, i));
    for (;;)
        pause();
}

CASE(callback_crashes, .title = "a callback that crashes",
     .must = "that is the client's own crash; none of its processes is left")
{
    double died;
    int status;
    pid_t pid;

    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        be_client();
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    died = harness_now();
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    while (waitpid(-1, NULL, __WALL) > 0)
        ;
    ended_in(harness_now() - died);
    saw("the client died of SIGSEGV, its pool was gone %.1f ms later",
        (harness_now() - died) * 1e3);
}
