/* SPDX-License-Identifier: MIT */
#include "standard.h"

static void spin(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    for (volatile bool forever = true; forever;)
        ;
}
PP_TASK(void, spin, struct gate *, gate);

CASE(cancelled_in_task, .title = "pp_cancel() of a task that never ends",
     .must = "the task is cancelled, nothing else is")
{
    const struct ending cancelled = { .error = PP_ECANCELLED };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    struct bystanders all;
    pp_result *victim;

    bystanders_submit(&all, pool, 0, 5);
    victim = pp_apply_async(pool, PP_CALL(spin, gate));
    bystanders_submit(&all, pool, 5, BYSTANDERS);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    fault_now();
    CHECK_EQ(pp_cancel(victim), 0);
    check_ending(victim, &cancelled);
    bystanders_check(&all);
    check_works(pool);
    await_replacement(pool);
    end_pool(pool);
    gate_free(gate);
}
