/* SPDX-License-Identifier: MIT */
/*
 * map_default: squares from and to ordinary memory, in chunks that the library chooses;
 * map_shared: the same in shared memory; map_chunk1: with every item a task of its own;
 * map_heavy: items of some microseconds, how much faster than one thread.
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_MAPS = 10 };

PP_TASK(long, bench_grind, long, x);

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

static void measure_map(pp_pool *pool, long *items, long *values, size_t count, int maps,
                        long chunk)
{
    uint64_t took_ns[MAX_MAPS];

    bench_items(items, count);
    map_ns(pool, items, values, count, chunk);
    for (int i = 0; i < maps; i++)
        took_ns[i] = map_ns(pool, items, values, count, chunk);
    bench_report_rate(count, took_ns, (size_t)maps, "/s");
}

static void measure_ordinary(size_t count, int maps, long chunk)
{
    long *items = bench_alloc(count * sizeof *items);
    long *values = bench_alloc(count * sizeof *values);
    pp_pool *pool = warm_pool();

    measure_map(pool, items, values, count, maps, chunk);
    stop_pool(pool);
    free(items);
    free(values);
}

BENCH_WORKLOAD(map_default)
{
    measure_ordinary(bench_count(1000000, scale), MAX_MAPS, 0);
}

BENCH_WORKLOAD(map_shared)
{
    size_t count = bench_count(1000000, scale);
    pp_pool *pool = warm_pool();
    long *items = pp_shared_alloc(pool, count * sizeof *items);
    long *values = pp_shared_alloc(pool, count * sizeof *values);

    bench_check(items && values, "map: no shared memory");
    memset(values, 0, count * sizeof *values);
    measure_map(pool, items, values, count, MAX_MAPS, 0);
    stop_pool(pool);
}

BENCH_WORKLOAD(map_chunk1)
{
    measure_ordinary(bench_count(100000, scale), 5, 1);
}

/* ---- Heavy items ---- */

static double speedup(pp_pool *pool, const long *items, long *values, size_t count)
{
    uint64_t begin_ns = bench_now_ns();

    for (size_t i = 0; i < count; i++)
        values[i] = bench_grind(items[i]);

    uint64_t alone_ns = bench_now_ns() - begin_ns;
    long last = values[count - 1];

    values[count - 1] = 0;
    begin_ns = bench_now_ns();

    int error = pp_map(pool, bench_grind, items, count, values);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0 && values[count - 1] == last, "map_heavy: wrong result");
    return (double)alone_ns / (double)took_ns;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

BENCH_WORKLOAD(map_heavy)
{
    size_t count = bench_count(20000, scale);
    long *items = bench_alloc(count * sizeof *items);
    long *values = bench_alloc(count * sizeof *values);
    double times[5];
    pp_pool *pool = warm_pool();

    bench_items(items, count);
    for (int i = 0; i < 5; i++)
        times[i] = speedup(pool, items, values, count);
    stop_pool(pool);
    qsort(times, 5, sizeof *times, compare_doubles);
    bench_report("speedup", times[2], "fold");
    free(items);
    free(values);
}
