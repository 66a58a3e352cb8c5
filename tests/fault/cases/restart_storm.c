/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "standard.h"

static int leave(void *starts)
{
    atomic_fetch_add((atomic_int *)starts, 1);
    fault_now();
    _exit(1);
}

/* In the pool that there is, it begins with the first replacement. */
static int leave_later(void *starts)
{
    return pp_worker_incarnation() > 1 ? leave(starts) : 0;
}

static void die(void)
{
    _exit(1);
}
PP_TASK(void, die);

static void at_creation(atomic_int *starts)
{
    CHECK_NULL(pp_pool_new(.processes = 2, .initializer = leave, .initarg = starts),
               ENOTRECOVERABLE);
    answered_now();
    CHECK_EQ(processes(), 0);
    CHECK(atomic_load(starts) <= 2);
    saw("at creation: no pool after %d starts", atomic_load(starts));
}

static void later(atomic_int *starts)
{
    pp_pool *pool =
        pp_pool_new(.processes = 2, .initializer = leave_later, .initarg = starts);
    pp_result *victims[10];
    int broken = 0;

    CHECK(pool != NULL);
    atomic_store(starts, 0);
    for (int i = 0; i < 10; i++)
        CHECK((victims[i] = pp_apply_async(pool, PP_CALL(die))) != NULL);
    for (int i = 0; i < 10; i++)
        broken += get(victims[i], NULL) == PP_EBROKEN;
    CHECK(broken >= 8);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(die)), ENOTRECOVERABLE);
    /* Three in a row, and who was begun meanwhile; two before the other one's task dies. */
    CHECK(atomic_load(starts) <= 6);
    saw("later: broken after %d starts, %d of 10 tasks PP_EBROKEN", atomic_load(starts),
        broken);
    end_pool(pool);
}

CASE(restart_storm, .python = "c32_fork_storm", .title = "an initializer that exits at once",
     .must = "few workers are started, then the pool is broken, and says so to all")
{
    atomic_int *starts = shared_new(sizeof *starts);

    at_creation(starts);
    later(starts);
    shared_free(starts, sizeof *starts);
}
