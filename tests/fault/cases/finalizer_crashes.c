/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "standard.h"

static void crash(void *unused)
{
    (void)unused;
    raise(SIGSEGV);
}

CASE(finalizer_crashes, .title = "the finalizer: SIGSEGV, in every worker",
     .must = "no task is lost by it, and pp_join() returns")
{
    pp_pool *pool = pp_pool_new(.processes = 2, .finalizer = crash, .max_tasks_per_child = 3);
    double begun;

    CHECK(pool != NULL);
    check_bystanders(pool);
    saw("20 of 20 right");
    begun = harness_now();
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    ended_in(harness_now() - begun);
    saw("pp_join() returned, %zu deaths counted", pp_stats_of(pool).deaths);
    CHECK(pp_stats_of(pool).deaths >= 7);
    CHECK_EQ(pp_pool_free(pool), 0);
}
