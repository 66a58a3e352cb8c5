/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <unistd.h>

#include "standard.h"

static struct gate *gate;

/* The first replacement is held here. */
static int wait_in_replacement(void *unused)
{
    (void)unused;
    if (pp_worker_incarnation() == 2)
        gate_wait(gate);
    return 0;
}

static void die(void)
{
    raise(SIGKILL);
}
PP_TASK(void, die);

static long die_once(long x)
{
    if (pp_attempt() == 1) {
        fault_now();
        raise(SIGKILL);
    }
    return x;
}
PP_TASK(long, die_once, long, x);

CASE(killed_while_replacing,
     .title = "SIGKILL of a worker while another is being replaced, and of that one, too",
     .must = "each costs its own task; the pool works on")
{
    const struct ending crash = { .error = PP_ECRASHED, .signal = SIGKILL };
    struct bystanders all;
    pp_result *retried;
    pp_pool *pool;
    long value = 0;

    gate = gate_new();
    pool = pp_pool_new(.processes = 2, .initializer = wait_in_replacement);
    CHECK(pool != NULL);
    check_ending(pp_apply_async(pool, PP_CALL(die)), &crash);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    bystanders_submit(&all, pool, 0, 10); /* they have one worker, then none */
    retried = pp_apply_async(pool, PP_CALL(die_once, 5), .retries = 1);
    bystanders_submit(&all, pool, 10, BYSTANDERS);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    for (int id = 0; id < 2; id++)
        CHECK_EQ(kill(worker_pid(pool, id), SIGKILL), 0); /* in their initializers */
    gate_open(gate);
    CHECK_EQ(get(retried, &value), 0);
    answered_now();
    CHECK_EQ(value, 5);
    saw("the retried one succeeds");
    bystanders_check(&all);
    check_works(pool);
    end_pool(pool);
    gate_free(gate);
}
