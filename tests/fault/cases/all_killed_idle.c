/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "standard.h"

CASE(all_killed_idle, .title = "SIGKILL of all workers at once, while they are idle",
     .must = "nothing is lost, they are replaced")
{
    enum { WORKERS = 8 };
    pp_pool *pool = pool_of(WORKERS);
    pid_t pids[WORKERS];

    check_bystanders(pool);
    for (int i = 0; i < WORKERS; i++)
        pids[i] = worker_pid(pool, i);
    fault_now();
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(kill(pids[i], SIGKILL), 0);
    check_bystanders(pool);
    saw("20 of 20 right");
    await_replacement(pool);
    CHECK_SOON(pp_stats_of(pool).workers == WORKERS);
    saw("%d workers again", WORKERS);
    end_pool(pool);
}
