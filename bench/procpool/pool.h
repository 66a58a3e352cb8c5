/* SPDX-License-Identifier: MIT */
/* pool.h - what the workloads of procpool share: a warm pool, and its tasks. */
#ifndef BENCH_PROCPOOL_POOL_H
#define BENCH_PROCPOOL_POOL_H

#include <procpool.h>

#include "harness/bench.h"

PP_TASK(long, bench_square, long, x);

/* A pool whose workers have worked; NULL is never returned. */
static inline pp_pool *warm_pool(void)
{
    pp_pool *pool = pp_pool_new(.processes = BENCH_WORKERS);

    bench_check(pool != NULL, "cannot create a pool");
    for (int i = 0; i < BENCH_WARM_UP; i++) {
        long value = 0;

        bench_check(pp_apply(pool, PP_CALL(bench_square, 5), &value) == 0 && value == 25,
                    "a call failed");
    }
    return pool;
}

static inline void stop_pool(pp_pool *pool)
{
    bench_check(pp_close(pool) == 0 && pp_join(pool) == 0, "cannot stop the pool");
    pp_pool_free(pool);
}

#endif
