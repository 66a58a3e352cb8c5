/* SPDX-License-Identifier: MIT */
/* apply: one call at a time; the time from calling to having the value. */
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

BENCH_WORKLOAD(apply)
{
    size_t calls = bench_count(10000, scale);
    uint64_t *took_ns = bench_alloc(calls * sizeof *took_ns);
    pp_pool *pool = warm_pool();

    for (size_t i = 0; i < calls; i++)
        took_ns[i] = round_trip_ns(pool, (long)i);
    stop_pool(pool);
    bench_report_median_s("median", took_ns, calls);
    bench_report("p99", (double)bench_percentile(took_ns, calls, 0.99) / 1e9, "s");
    free(took_ns);
}
