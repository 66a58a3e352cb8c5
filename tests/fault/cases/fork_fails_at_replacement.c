/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "limited.h"
#include "standard.h"

static void leave(void)
{
    sleep_for(10000);
    fault_now();
    _exit(1);
}
PP_TASK(void, leave);

CASE(fork_fails_at_replacement, .python = "c18_fork_fails_replace",
     .title = "a worker dies when no process can be forked; later one can",
     .must = "the task is an error, the other worker does the rest; replaced when that can be")
{
    const struct ending gone = { .error = PP_ECRASHED, .status = 1 };
    struct bystanders all;
    struct census census;
    pp_result *victim;
    pp_pool *pool;

    become_nobody();
    pool = pool_of(2);
    CHECK_SOON(take_census(&census, 2));
    allow_processes(census.supervisor, 1);
    bystanders_submit(&all, pool, 0, 5);
    victim = pp_apply_async(pool, PP_CALL(leave));
    bystanders_submit(&all, pool, 5, BYSTANDERS);
    check_ending(victim, &gone);
    bystanders_check(&all);
    CHECK(!is_replaced());
    CHECK_EQ(pp_stats_of(pool).workers, 1);
    saw("1 worker, pool works on");
    fault_now(); /* what the replacement is counted from */
    allow_processes(census.supervisor, 100);
    CHECK_SOON(pp_stats_of(pool).workers == 2); /* without any work that would tell it */
    await_replacement(pool);
    saw("2 workers when that can be");
    end_pool(pool);
}
