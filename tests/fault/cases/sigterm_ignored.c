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
    struct gate *gate = gate_new();

    check_terminated(PP_CALL(stay, gate).call, gate);
    gate_free(gate);
}
