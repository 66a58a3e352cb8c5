/* SPDX-License-Identifier: MIT */
/*
 * start: create a pool, run one task in it, stop it, free it; memory and idle: what its
 * processes take and do meanwhile.
 */
#include "pool.h"

#include <stdlib.h>

static uint64_t life_ns(int workers)
{
    uint64_t begin_ns = bench_now_ns();
    pp_pool *pool = new_pool(workers, PP_SPIN_ADAPTIVE);
    long value = square(pool, 5);

    stop_pool(pool);

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(value == 25, "start: wrong result");
    return took_ns;
}

static void measure(int workers, size_t pools)
{
    uint64_t *took_ns = bench_alloc(pools * sizeof *took_ns);

    life_ns(workers);
    for (size_t i = 0; i < pools; i++)
        took_ns[i] = life_ns(workers);
    bench_report_median_s("median", took_ns, pools);
    free(took_ns);
}

BENCH_WORKLOAD(start)
{
    measure(BENCH_WORKERS, bench_count(50, scale));
}

BENCH_WORKLOAD(start_64)
{
    measure(64, bench_count(10, scale));
}

BENCH_WORKLOAD(memory)
{
    (void)scale;

    pp_pool *pool = warm_pool();

    bench_report_workers_memory("worker_of_2", BENCH_WORKERS);
    stop_pool(pool);
    pool = new_pool(64, PP_SPIN_ADAPTIVE);
    square(pool, 5);
    bench_report_workers_memory("worker_of_64", 64);
    stop_pool(pool);
}

BENCH_WORKLOAD(idle)
{
    pp_pool *pool = warm_pool();

    bench_report_idleness(scale);
    stop_pool(pool);
}
