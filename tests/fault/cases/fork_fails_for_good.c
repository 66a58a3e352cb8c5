/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "limited.h"
#include "standard.h"

static void leave(void)
{
    fault_now();
    _exit(1);
}
PP_TASK(void, leave);

CASE(fork_fails_for_good, .limit = 30,
     .title = "all workers die, and no process can be forked any more",
     .must = "after five seconds the pool is broken, and all that is open ends with that")
{
    pp_pool *pool;
    pp_result *dead[2];
    struct bystanders all;
    struct census census;

    become_nobody();
    pool = pool_of(2);
    CHECK_SOON(take_census(&census, 2));
    allow_processes(census.supervisor, 1);
    for (int i = 0; i < 2; i++)
        dead[i] = pp_apply_async(pool, PP_CALL(leave));
    for (int i = 0; i < 2; i++)
        CHECK_EQ(get(dead[i], NULL), PP_ECRASHED);
    saw("2 of 2 PP_ECRASHED");
    bystanders_submit(&all, pool, 0, BYSTANDERS);
    for (int i = 0; i < BYSTANDERS; i++)
        CHECK_EQ(get(all.results[i], NULL), PP_EBROKEN);
    answered_now();
    CHECK_HAS(pp_error_of(all.results[0])->message, "fork");
    saw("20 of 20 others PP_EBROKEN: %s", pp_error_of(all.results[0])->message);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(leave)), ENOTRECOVERABLE);
    end_pool(pool);
}
