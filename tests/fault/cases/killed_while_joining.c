/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <signal.h>

#include "standard.h"

static void die_at(struct gate *gate)
{
    gate_wait(gate);
    fault_now();
    raise(SIGKILL);
}
PP_TASK(void, die_at, struct gate *, gate);

static void *join(void *pool)
{
    CHECK_EQ(pp_join(pool), 0);
    return NULL;
}

CASE(killed_while_joining, .title = "SIGKILL of both workers while the pool is being joined",
     .must = "each costs its own task; all others are run, then pp_join() returns")
{
    const struct ending crash = { .error = PP_ECRASHED, .signal = SIGKILL };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *victims[2];
    struct bystanders all;
    pthread_t thread;

    for (int i = 0; i < 2; i++)
        victims[i] = pp_apply_async(pool, PP_CALL(die_at, gate));
    bystanders_submit(&all, pool, 0, BYSTANDERS);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pthread_create(&thread, NULL, join, pool), 0);
    gate_open(gate);
    check_ending(victims[0], &crash);
    check_ending(victims[1], &crash);
    bystanders_check(&all);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    saw("pp_join() returned");
    end_pool(pool);
    gate_free(gate);
}
