/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <unistd.h>

#include "standard.h"

/* Ignores all that can be ignored. */
static void stay(struct gate *gate)
{
    sigset_t all;

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    atomic_fetch_add(&gate->waiting, 1);
    for (;;)
        pause();
}
PP_TASK(void, stay, struct gate *, gate);

CASE(sigterm_ignored, .python = "c23_sigterm_ignored",
     .title = "a task that ignores SIGTERM and all else, and pp_terminate()",
     .must = "the pool ends, and the task is cancelled")
{
    const struct ending cancelled = { .error = PP_ECANCELLED };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_apply_async(pool, PP_CALL(stay, gate));

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    fault_now();
    CHECK_EQ(pp_terminate(pool), 0);
    check_ending(result, &cancelled);
    CHECK_EQ(processes(), 0);
    end_pool(pool);
    gate_free(gate);
}
