/* SPDX-License-Identifier: MIT */
/*
 * item_times: a map of items that take 0.1 us to 100 ms on average, exponentially distributed;
 * its time over what 2 workers would need if none ever waited, with the chunks that the
 * library chooses and with fixed ones of many sizes.
 */
#include "curve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_ITEMS = 4000000 };

/* Steps of work, which are calibrated: a clock would take longer than the shortest items. */
static long work(int steps)
{
    uint64_t value = (uint64_t)steps;

    for (int i = 0; i < steps; i++) {
        value = value * 6364136223846793005u + 1442695040888963407u;
        __asm__ volatile("" : "+r"(value));
    }
    return (long)(value | 1);
}
PP_TASK(long, work, int, steps);

static double seconds_of(int steps)
{
    uint64_t begin_ns = bench_now_ns();

    bench_check(work(steps) != 0, "item_times: wrong result");
    return (double)(bench_now_ns() - begin_ns) / 1e9;
}

/* The fastest of some: nobody else was at work. */
static double seconds_per_step(void)
{
    double least = seconds_of(1000000);

    for (int i = 0; i < 20; i++)
        least = fmin(least, seconds_of(1000000));
    return least / 1e6;
}

struct map {
    pp_pool *pool;
    int *steps;
    long *values;
    size_t count;
    double ideal_s;
    double x;
};

/* bench_durations() has a mean of 1e6. */
static void prepare(struct map *map, double item_s, double step_s, const long *durations)
{
    double sum = 0, longest = 0;

    for (size_t i = 0; i < map->count; i++) {
        map->steps[i] = (int)((double)durations[i] / 1e6 * item_s / step_s);
        sum += map->steps[i];
        longest = fmax(longest, map->steps[i]);
    }
    map->ideal_s = fmax(sum / BENCH_WORKERS, longest) * step_s;
    map->x = item_s;
}

static void measure(const char *series, struct map *map, long chunk)
{
    uint64_t begin_ns = bench_now_ns();
    int error = pp_map(map->pool, work, map->steps, map->count, map->values,
                       .chunksize = chunk);
    double took_s = (double)(bench_now_ns() - begin_ns) / 1e9;

    bench_check(error == 0, "item_times: an item failed");
    for (size_t i = 0; i < map->count; i++) {
        bench_check(map->values[i] != 0, "item_times: no result");
        map->values[i] = 0;
    }
    curve_point(series, map->x, took_s / map->ideal_s);
}

static void measure_all(struct map *map)
{
    for (long chunk = 1; chunk <= (long)map->count / BENCH_WORKERS; chunk *= 4) {
        char series[32];

        snprintf(series, sizeof series, "fixed_%ld", chunk);
        measure(series, map, chunk);
    }
    measure("as_python", map, (long)map->count / (4 * BENCH_WORKERS) + 1);
    measure("guided", map, 0);
}

BENCH_WORKLOAD(item_times)
{
    double step_s = seconds_per_step();
    long *durations = bench_alloc(MAX_ITEMS * sizeof *durations);
    struct map map = { .pool = curve_pool(BENCH_WORKERS),
                       .steps = bench_alloc(MAX_ITEMS * sizeof(int)),
                       .values = bench_alloc(MAX_ITEMS * sizeof(long)) };

    bench_durations(durations, MAX_ITEMS);
    map.count = 1000;
    prepare(&map, 1e-6, step_s, durations);
    bench_check(pp_map(map.pool, work, map.steps, map.count, map.values) == 0, "a map failed");
    for (int exponent = -7; exponent <= -1; exponent++) {
        double item_s = pow(10, exponent);

        map.count = (size_t)fmin(fmax(0.4 * scale / item_s, 24 * scale), MAX_ITEMS);
        prepare(&map, item_s, step_s, durations);
        measure_all(&map);
    }
    curve_stop(map.pool);
    free(durations);
    free(map.steps);
    free(map.values);
}
