/* SPDX-License-Identifier: MIT */
/*
 * apply: one call at a time; the time from calling to having the value.  Asleep in between or,
 * as is the default, spinning where that pays; on two CPUs or one.
 */
#include "pool.h"

#include <stdlib.h>

static uint64_t round_trip_ns(pp_pool *pool, long x)
{
    long value = 0;
    uint64_t begin_ns = bench_now_ns();
    int error = pp_apply(pool, PP_CALL(bench_square, x), &value);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0 && value == x * x, "apply: wrong result");
    return took_ns;
}

/* Stops the pool. */
static void measure(double scale, pp_pool *pool)
{
    size_t calls = bench_count(10000, scale);
    uint64_t *took_ns = bench_alloc(calls * sizeof *took_ns);

    for (size_t i = 0; i < calls; i++)
        took_ns[i] = round_trip_ns(pool, (long)i);
    stop_pool(pool);
    bench_report_latency(took_ns, calls);
    free(took_ns);
}

BENCH_WORKLOAD(apply)
{
    measure(scale, warm_pool_that(PP_SPIN_NEVER));
}

BENCH_WORKLOAD(apply_one_cpu)
{
    bench_use_one_cpu();
    measure(scale, warm_pool_that(PP_SPIN_NEVER));
}

/* The caller on one, the only worker on the other: the scheduler has no choice. */
BENCH_WORKLOAD(apply_two_cpus)
{
    pp_pool *pool = new_pool(1, PP_SPIN_NEVER);

    bench_part_from_worker();
    for (long i = 0; i < BENCH_WARM_UP; i++)
        round_trip_ns(pool, i);
    measure(scale, pool);
}

BENCH_WORKLOAD(apply_spin)
{
    measure(scale, warm_pool());
}

BENCH_WORKLOAD(apply_spin_one_cpu)
{
    bench_use_one_cpu();
    measure(scale, warm_pool());
}
