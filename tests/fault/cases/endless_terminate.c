/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "standard.h"

static void stay(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    for (;;)
        pause();
}
PP_TASK(void, stay, struct gate *, gate);

CASE(endless_terminate, .python = "c22_endless_terminate",
     .title = "a task that never ends, and pp_terminate()",
     .must = "the pool ends, and the task is cancelled")
{
    struct gate *gate = gate_new();

    check_terminated(PP_CALL(stay, gate).call, gate);
    gate_free(gate);
}
