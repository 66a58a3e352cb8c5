/* SPDX-License-Identifier: MIT */
/* makespan: tasks of very different length; how well both workers are kept busy. */
#include "pool.h"

#include <stdlib.h>

PP_TASK(long, bench_burn, long, ns);

static uint64_t run_all_ns(pp_pool *pool, const long *durations_ns, size_t count)
{
    pp_result **results = bench_alloc(count * sizeof *results);
    bool right = true;
    uint64_t begin_ns = bench_now_ns();

    for (size_t i = 0; i < count; i++)
        results[i] = pp_apply_async(pool, PP_CALL(bench_burn, durations_ns[i]));
    for (size_t i = 0; i < count; i++) {
        long value = -1;

        right &= pp_get(results[i], &value) == 0 && value == durations_ns[i];
        pp_result_free(results[i]);
    }

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(right, "makespan: wrong result");
    free(results);
    return took_ns;
}

BENCH_WORKLOAD(makespan)
{
    size_t count = bench_count(2000, scale);
    long *durations_ns = bench_alloc(count * sizeof *durations_ns);
    pp_pool *pool = warm_pool();

    bench_durations(durations_ns, count);

    uint64_t took_ns = run_all_ns(pool, durations_ns, count);

    stop_pool(pool);
    bench_report("over_ideal", bench_over_ideal(took_ns, durations_ns, count), "x");
    free(durations_ns);
}
