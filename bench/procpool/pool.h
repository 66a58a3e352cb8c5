/* SPDX-License-Identifier: MIT */
/* pool.h - what the workloads of procpool share: a warm pool, and its tasks. */
#ifndef BENCH_PROCPOOL_POOL_H
#define BENCH_PROCPOOL_POOL_H

#include <procpool.h>

#include "harness/bench.h"

PP_TASK(long, bench_square, long, x);

static inline pp_pool *new_pool(int workers, pp_spin spin)
{
    pp_pool *pool = pp_pool_new(.processes = workers, .spin = spin);

    bench_check(pool != NULL, "cannot create a pool");
    return pool;
}

static inline long square(pp_pool *pool, long x)
{
    long value = -1;

    bench_check(pp_apply(pool, PP_CALL(bench_square, x), &value) == 0, "a call failed");
    return value;
}

/* A pool whose workers have worked; NULL is never returned. */
static inline pp_pool *warm_pool_that(pp_spin spin)
{
    pp_pool *pool = new_pool(BENCH_WORKERS, spin);

    for (long i = 0; i < BENCH_WARM_UP; i++)
        bench_check(square(pool, i) == i * i, "a call gave a wrong result");
    return pool;
}

static inline pp_pool *warm_pool(void)
{
    return warm_pool_that(PP_SPIN_ADAPTIVE);
}

static inline void stop_pool(pp_pool *pool)
{
    bench_check(pp_close(pool) == 0 && pp_join(pool) == 0, "cannot stop the pool");
    pp_pool_free(pool);
}

#endif
