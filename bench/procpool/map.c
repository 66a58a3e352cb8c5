/* SPDX-License-Identifier: MIT */
/*
 * map_default: squares from and to ordinary memory, in chunks that the library chooses;
 * map_chunk1: the same with every item a task of its own.
 */
#include "pool.h"

#include <stdlib.h>

enum { MAX_MAPS = 10 };

static uint64_t map_ns(pp_pool *pool, const long *items, long *values, size_t count,
                       long chunk)
{
    uint64_t begin_ns = bench_now_ns();
    int error = pp_map(pool, bench_square, items, count, values, .chunksize = chunk);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0, "map: an item failed");
    bench_check(bench_squares_are_right(values, count), "map: wrong result");
    return took_ns;
}

static void measure_map(size_t count, int maps, long chunk)
{
    long *items = bench_alloc(count * sizeof *items);
    long *values = bench_alloc(count * sizeof *values);
    uint64_t took_ns[MAX_MAPS];
    pp_pool *pool = warm_pool();

    bench_items(items, count);
    for (int i = 0; i < maps; i++)
        took_ns[i] = map_ns(pool, items, values, count, chunk);
    stop_pool(pool);
    bench_report_rate(count, took_ns, (size_t)maps, "/s");
    free(items);
    free(values);
}

BENCH_WORKLOAD(map_default)
{
    measure_map(bench_count(1000000, scale), 10, 0);
}

BENCH_WORKLOAD(map_chunk1)
{
    measure_map(bench_count(100000, scale), 5, 1);
}
