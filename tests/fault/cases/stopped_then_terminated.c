/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "standard.h"

#define LIMIT_S 0.2

static void stop_at_once(void)
{
    fault_at(harness_now() + LIMIT_S);
    raise(SIGSTOP);
}
PP_TASK(void, stop_at_once);

static void stop(atomic_int *stopped)
{
    atomic_store(stopped, 1);
    raise(SIGSTOP);
}
PP_TASK(void, stop, atomic_int *, stopped);

/* Nothing limits the second one but the end of its pool. */
static void check_terminate(pp_pool *pool)
{
    atomic_int *stopped = shared_new(sizeof *stopped);
    pp_pool *other = pool_of(2);
    pp_result *result = pp_apply_async(other, PP_CALL(stop, stopped));
    double begun;

    CHECK_SOON(atomic_load(stopped));
    begun = harness_now();
    CHECK_EQ(pp_terminate(other), 0);
    saw("terminated after %.1f ms", (harness_now() - begun) * 1e3);
    CHECK_EQ(get(result, NULL), PP_ECANCELLED);
    saw("then %s", ending_words(PP_ECANCELLED, NULL));
    CHECK_EQ(pp_pool_free(other), 0);
    shared_free(stopped, sizeof *stopped);
    (void)pool;
}

CASE(stopped_then_terminated, .python = "c06_sigstop",
     .title = "SIGSTOP in a task: with a time limit of 0.2 s; then pp_terminate()",
     .must = "the task is an error at its limit, nothing else is; the second one is cancelled")
{
    STANDARD(.victim = PP_CALL(stop_at_once).call, .must = { .error = PP_ETIMELIMIT },
             .options = { .time_limit = LIMIT_S });
    check_terminate(NULL);
}
