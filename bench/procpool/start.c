/* SPDX-License-Identifier: MIT */
/* start: create a pool, run one task in it, stop it, free it. */
#include "pool.h"

#include <stdlib.h>

static uint64_t life_ns(void)
{
    long value = 0;
    uint64_t begin_ns = bench_now_ns();
    pp_pool *pool = pp_pool_new(.processes = BENCH_WORKERS);

    bench_check(pool != NULL, "start: cannot create a pool");

    int error = pp_apply(pool, PP_CALL(bench_square, 5), &value);

    stop_pool(pool);

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0 && value == 25, "start: wrong result");
    return took_ns;
}

BENCH_WORKLOAD(start)
{
    size_t pools = bench_count(50, scale);
    uint64_t *took_ns = bench_alloc(pools * sizeof *took_ns);

    life_ns();
    for (size_t i = 0; i < pools; i++)
        took_ns[i] = life_ns();
    bench_report_median_s("median", took_ns, pools);
    free(took_ns);
}
