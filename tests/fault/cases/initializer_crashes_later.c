/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "standard.h"

static int crash_in_replacements(void *runs)
{
    atomic_fetch_add((atomic_int *)runs, 1);
    if (pp_worker_incarnation() > 1) {
        fault_now();
        raise(SIGSEGV);
    }
    return 0;
}

static void die(void)
{
    raise(SIGKILL);
}
PP_TASK(void, die);

static void stay(struct gate *gate)
{
    gate_wait(gate);
}
PP_TASK(void, stay, struct gate *, gate);

/* What was running, and what was queued. */
static void check_broken(pp_pool *pool, pp_result **open, int count)
{
    for (int i = 0; i < count; i++)
        CHECK_EQ(get(open[i], NULL), PP_EBROKEN);
    answered_now();
    saw("%d of %d open ones PP_EBROKEN", count, count);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(die)), ENOTRECOVERABLE);
    saw("the pool takes no more");
}

CASE(initializer_crashes_later, .title = "the initializer: SIGSEGV, in replacements only",
     .must = "the pool is broken after three in a row, and all that is open ends with that")
{
    enum { OPEN = 20 };
    atomic_int *runs = shared_new(sizeof *runs);
    struct gate *gate = gate_new();
    pp_pool *pool = pp_pool_new(.processes = 2, .initializer = crash_in_replacements,
                                .initarg = runs);
    pp_result *open[OPEN], *victim;

    CHECK(pool != NULL);
    open[0] = pp_apply_async(pool, PP_CALL(stay, gate));
    victim = pp_apply_async(pool, PP_CALL(die));
    for (int i = 1; i < OPEN; i++)
        open[i] = pp_apply_async(pool, PP_CALL(stay, gate));
    CHECK_EQ(get(victim, NULL), PP_ECRASHED);
    check_broken(pool, open, OPEN);
    CHECK_EQ(atomic_load(runs), 2 + 3);
    saw("%d replacements tried", 3);
    end_pool(pool);
    gate_free(gate);
    shared_free(runs, sizeof *runs);
}
