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
