/* SPDX-License-Identifier: MIT */
/*
 * Many tasks, then waiting for all: apply_async, and maps.  Items and results lie where the
 * workers see them, so that nothing is copied.
 */
#include "harness/peer.h"

#include <stdlib.h>

enum { MAX_BATCHES = 10 };

static uint64_t batch_ns(size_t count, long chunk)
{
    uint64_t begin_ns = bench_now_ns();

    bench_peer.run(bench_square_range, (long)count, chunk);

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(bench_squares_are_right(bench_out, count), "batch: wrong result");
    return took_ns;
}

/* The rate in the median of all batches but the first. */
static void measure(size_t count, size_t batches, long chunk)
{
    uint64_t took_ns[MAX_BATCHES];

    bench_arrays(count);
    bench_start_warm();
    batch_ns(count, chunk);
    for (size_t i = 0; i < batches; i++)
        took_ns[i] = batch_ns(count, chunk);
    bench_peer.stop();
    bench_report_rate(count, took_ns, batches, "/s");
    bench_free_arrays(count);
}

BENCH_WORKLOAD_IF(apply_async, bench_peer.run)
{
    measure(bench_count(200000, scale), 5, 1);
}

BENCH_WORKLOAD_IF(apply_async_one_cpu, bench_peer.run && bench_peer.processes)
{
    bench_use_one_cpu();
    measure(bench_count(200000, scale), 5, 1);
}

/* As Python's Pool divides a map: four chunks for each worker. */
static long usual_chunk(size_t count)
{
    return (long)(count / (4 * BENCH_WORKERS)) + 1;
}

static void measure_map(double scale)
{
    size_t count = bench_count(1000000, scale);

    measure(count, 10, usual_chunk(count));
}

/* Threads see all memory: for them both are the same. */
BENCH_WORKLOAD_IF(map_default, bench_peer.run && !bench_peer.processes)
{
    measure_map(scale);
}

BENCH_WORKLOAD_IF(map_shared, bench_peer.run)
{
    measure_map(scale);
}

BENCH_WORKLOAD_IF(map_chunk1, bench_peer.run)
{
    measure(bench_count(100000, scale), 5, 1);
}

/* ---- Heavy items: how much faster than one thread ---- */

static void grind_range(long from, long to)
{
    for (long i = from; i < to; i++)
        bench_out[i] = bench_grind(bench_in[i]);
}

/* The time in this thread over the time by the workers. */
static double speedup(long count)
{
    uint64_t begin_ns = bench_now_ns();

    grind_range(0, count);

    uint64_t alone_ns = bench_now_ns() - begin_ns;
    long last = bench_out[count - 1];

    bench_out[count - 1] = 0;
    begin_ns = bench_now_ns();
    bench_peer.run(grind_range, count, usual_chunk((size_t)count));

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(bench_out[count - 1] == last, "map_heavy: wrong result");
    return (double)alone_ns / (double)took_ns;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

BENCH_WORKLOAD_IF(map_heavy, bench_peer.run)
{
    long count = (long)bench_count(20000, scale);
    double times[5];

    bench_arrays((size_t)count);
    bench_start_warm();
    for (int i = 0; i < 5; i++)
        times[i] = speedup(count);
    bench_peer.stop();
    qsort(times, 5, sizeof *times, compare_doubles);
    bench_report("speedup", times[2], "fold");
    bench_free_arrays((size_t)count);
}

/* ---- Tasks of very different length ---- */

static void burn_range(long from, long to)
{
    for (long i = from; i < to; i++)
        bench_out[i] = bench_burn(bench_in[i]);
}

BENCH_WORKLOAD_IF(makespan, bench_peer.run)
{
    size_t count = bench_count(2000, scale);

    bench_arrays(count);
    bench_durations(bench_in, count);
    bench_start_warm();

    uint64_t begin_ns = bench_now_ns();

    bench_peer.run(burn_range, (long)count, 1);

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_peer.stop();
    for (size_t i = 0; i < count; i++)
        bench_check(bench_out[i] == bench_in[i], "makespan: wrong result");
    bench_report("over_ideal", bench_over_ideal(took_ns, bench_in, count), "x");
    bench_free_arrays(count);
}
