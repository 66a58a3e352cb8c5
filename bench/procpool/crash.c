/* SPDX-License-Identifier: MIT */
/* crash: of 1000 calls one kills its worker; what becomes of the others, and of the pool. */
#include "pool.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum { CALLS = 1000, DEADLY = 500, WIDTH_LIMIT_MS = 5000 };

static long fragile(long x)
{
    if (x == DEADLY)
        raise(SIGKILL);
    return bench_square(x);
}
PP_TASK(long, fragile, long, x);

/* How many have met at the counter, when it is as many as there should be, or in the end. */
static long meet(_Atomic long *counter)
{
    atomic_fetch_add(counter, 1);
    for (int ms = 0; ms < WIDTH_LIMIT_MS && atomic_load(counter) < BENCH_WORKERS; ms++)
        usleep(1000);
    return atomic_load(counter);
}
PP_TASK(long, meet, _Atomic long *, counter);

static long width_of(pp_pool *pool)
{
    _Atomic long *counter = pp_shared_alloc(pool, sizeof *counter);
    pp_result *results[BENCH_WORKERS];
    long met = 0;

    bench_check(counter != NULL, "crash: no shared memory");
    for (int i = 0; i < BENCH_WORKERS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(meet, counter));
    for (int i = 0; i < BENCH_WORKERS; i++) {
        bench_check(pp_get(results[i], &met) == 0, "crash: the pool is of no use any more");
        pp_result_free(results[i]);
    }
    return met;
}

BENCH_WORKLOAD(crash)
{
    pp_result *results[CALLS];
    long right = 0, errors = 0;
    pp_pool *pool = warm_pool();

    (void)scale;
    for (long i = 0; i < CALLS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(fragile, i));
    for (long i = 0; i < CALLS; i++) {
        long value = -1;
        int error = pp_get(results[i], &value);

        right += error == 0 && value == i * i;
        errors += i == DEADLY && error == PP_ECRASHED;
        pp_result_free(results[i]);
    }
    bench_report("right", (double)right, "n");
    bench_report("errors", (double)errors, "n");
    bench_report("no_answer", (double)(CALLS - right - errors), "n");
    bench_report("workers_after", (double)width_of(pool), "n");
    stop_pool(pool);
}
