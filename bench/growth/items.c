/* SPDX-License-Identifier: MIT */
/*
 * items: seconds per item in a map of 10^3 to 10^8 squares, from and to ordinary memory, in
 * shared memory, and in the program itself without a pool.
 */
#include "curve.h"

#include <stdlib.h>
#include <string.h>

struct map {
    pp_pool *pool;
    long *items, *values;
    size_t count;
};

static void check(struct map *map)
{
    for (size_t i = 0; i < map->count; i += map->count / 1000)
        bench_check(map->values[i] == (long)i * (long)i, "items: wrong result");
    memset(map->values, 0xff, map->count * sizeof *map->values);
}

static uint64_t map_ns(void *data)
{
    struct map *map = data;
    uint64_t begin_ns = bench_now_ns();
    int error = pp_map(map->pool, bench_square, map->items, map->count, map->values);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0, "items: an item failed");
    check(map);
    return took_ns;
}

static uint64_t loop_ns(void *data)
{
    struct map *map = data;
    uint64_t begin_ns = bench_now_ns();

    for (size_t i = 0; i < map->count; i++)
        map->values[i] = bench_call_square(map->items[i]);

    uint64_t took_ns = bench_now_ns() - begin_ns;

    check(map);
    return took_ns;
}

static void measure(const char *series, struct map *map, uint64_t (*once_ns)(void *),
                    double scale)
{
    bench_items(map->items, map->count);
    curve_point(series, (double)map->count,
                curve_median_s(once_ns, map, 0.2 * scale) / (double)map->count);
}

static void measure_in_shared_memory(struct map *map, double scale)
{
    size_t size = map->count * sizeof *map->items;
    struct map shared = { map->pool, curve_shared(map->pool, size),
                          curve_shared(map->pool, size), map->count };

    measure("shared", &shared, map_ns, scale);
    pp_shared_free(map->pool, shared.items);
    pp_shared_free(map->pool, shared.values);
}

BENCH_WORKLOAD(items)
{
    struct map map = { .pool = curve_pool(BENCH_WORKERS) };
    size_t most = scale < 1 ? 1000000 : 100000000;

    for (map.count = 1000; map.count <= most; map.count *= 10) {
        map.items = bench_alloc(map.count * sizeof *map.items);
        map.values = bench_alloc(map.count * sizeof *map.values);
        measure("loop", &map, loop_ns, scale);
        measure("ordinary", &map, map_ns, scale);
        free(map.items);
        free(map.values);
        measure_in_shared_memory(&map, scale);
    }
    curve_stop(map.pool);
}
