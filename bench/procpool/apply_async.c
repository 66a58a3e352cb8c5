/* SPDX-License-Identifier: MIT */
/*
 * apply_async: submit all calls, then get and free all results in order.  Freeing
 * counts: no program does without it.
 */
#include "pool.h"

#include <stdlib.h>

enum { BATCHES = 5 };

static uint64_t batch_ns(pp_pool *pool, pp_result **results, long *values, size_t calls)
{
    int errors = 0;
    uint64_t begin_ns = bench_now_ns();

    for (size_t i = 0; i < calls; i++)
        results[i] = pp_apply_async(pool, PP_CALL(bench_square, (long)i));
    for (size_t i = 0; i < calls; i++) {
        errors |= pp_get(results[i], &values[i]);
        pp_result_free(results[i]);
    }

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(errors == 0, "apply_async: a call failed");
    bench_check(bench_squares_are_right(values, calls), "apply_async: wrong result");
    return took_ns;
}

static void measure(double scale)
{
    size_t calls = bench_count(200000, scale);
    pp_result **results = bench_alloc(calls * sizeof *results);
    long *values = bench_alloc(calls * sizeof *values);
    uint64_t took_ns[BATCHES];
    pp_pool *pool = warm_pool();

    for (int i = 0; i < BATCHES; i++)
        took_ns[i] = batch_ns(pool, results, values, calls);
    stop_pool(pool);
    bench_report_rate(calls, took_ns, BATCHES, "/s");
    free(results);
    free(values);
}

BENCH_WORKLOAD(apply_async)
{
    measure(scale);
}

BENCH_WORKLOAD(apply_async_one_cpu)
{
    bench_use_one_cpu();
    measure(scale);
}
