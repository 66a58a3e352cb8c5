/* SPDX-License-Identifier: MIT */
/* queued: what a call that waits for a worker takes in memory, of all processes. */
#include "pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static long pass(_Atomic long *gate)
{
    while (!atomic_load(gate))
        usleep(1000);
    return 1;
}
PP_TASK(long, pass, _Atomic long *, gate);

static pp_result *occupy(pp_pool *pool, _Atomic long *gate)
{
    pp_result *result = pp_apply_async(pool, PP_CALL(pass, gate));

    bench_check(result != NULL, "queued: cannot submit");
    return result;
}

static void check_all(pp_result **results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        long x = (long)i, value = -1;

        bench_check(pp_get(results[i], &value) == 0 && value == x * x, "queued: wrong result");
        pp_result_free(results[i]);
    }
}

BENCH_WORKLOAD(queued)
{
    size_t calls = bench_count(1000000, scale);
    pp_result **results = bench_alloc(calls * sizeof *results), *guards[BENCH_WORKERS];
    pp_pool *pool = warm_pool();
    _Atomic long *gate = pp_shared_alloc(pool, sizeof *gate);
    double before;

    bench_check(gate != NULL, "queued: no shared memory");
    for (int i = 0; i < BENCH_WORKERS; i++)
        guards[i] = occupy(pool, gate);
    before = bench_memory_of_all();
    for (size_t i = 0; i < calls; i++)
        results[i] = pp_apply_async(pool, PP_CALL(bench_square, (long)i));
    bench_report("per_call", (bench_memory_of_all() - before) / (double)calls, "B");
    atomic_store(gate, 1);
    for (int i = 0; i < BENCH_WORKERS; i++)
        bench_check(pp_get(guards[i], NULL) == 0, "queued: a call failed");
    check_all(results, calls);
    stop_pool(pool);
    free(results);
}
