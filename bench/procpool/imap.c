/* SPDX-License-Identifier: MIT */
/*
 * imap: squares of an endless input, one item per task, in order; imap_unordered: those of an
 * array, as they come; imap_memory: what all processes of the program take in an imap of ten
 * million items, near its beginning and at its end.
 */
#include "pool.h"

#include <stdlib.h>

static bool naturals(void *item, void *user)
{
    *(long *)item = (*(long *)user)++;
    return true;
}

/* Reads so many squares; how long it took. */
static uint64_t read_ns(pp_iter *iter, long *from, size_t count)
{
    uint64_t begin_ns = bench_now_ns();

    for (size_t i = 0; i < count; i++, ++*from) {
        long value = -1;
        int error = pp_next(iter, &value);

        bench_check(error == 0 && value == *from * *from, "imap: wrong result");
    }
    return bench_now_ns() - begin_ns;
}

static void measure(size_t count, long chunk)
{
    uint64_t took_ns[5];
    pp_pool *pool = warm_pool();
    long next = 0, read = 0;
    pp_iter *iter =
        pp_imap(pool, bench_square, .input = naturals, .user = &next, .chunksize = chunk);

    bench_check(iter != NULL, "imap: no iterator");
    for (int i = 0; i < 5; i++)
        took_ns[i] = read_ns(iter, &read, count);
    pp_iter_free(iter);
    stop_pool(pool);
    bench_report_rate(count, took_ns, 5, "/s");
}

BENCH_WORKLOAD(imap)
{
    measure(bench_count(200000, scale), 1);
}

/* ---- As they come ---- */

static uint64_t unordered_ns(pp_pool *pool, const long *items, size_t count)
{
    uint64_t begin_ns = bench_now_ns();
    pp_iter *iter = pp_imap_unordered(pool, bench_square, .items = items, .count = count);
    long sum = 0, value;
    int error;

    while ((error = pp_next(iter, &value)) == 0)
        sum += value;
    pp_iter_free(iter);

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == PP_STOP_ITERATION, "imap_unordered: an item failed");
    for (size_t i = 0; i < count; i++)
        sum -= items[i] * items[i];
    bench_check(sum == 0, "imap_unordered: wrong result");
    return took_ns;
}

static void measure_unordered(double scale)
{
    size_t count = bench_count(100000, scale);
    long *items = bench_alloc(count * sizeof *items);
    uint64_t took_ns[5];
    pp_pool *pool = warm_pool();

    bench_items(items, count);
    unordered_ns(pool, items, count);
    for (int i = 0; i < 5; i++)
        took_ns[i] = unordered_ns(pool, items, count);
    stop_pool(pool);
    bench_report_rate(count, took_ns, 5, "/s");
    free(items);
}

BENCH_WORKLOAD(imap_unordered)
{
    measure_unordered(scale);
}

BENCH_WORKLOAD(imap_unordered_one_cpu)
{
    bench_use_one_cpu();
    measure_unordered(scale);
}

/* ---- Memory ---- */

BENCH_WORKLOAD(imap_memory)
{
    size_t count = bench_count(10000000, scale);
    pp_pool *pool = warm_pool();
    long next = 0, read = 0;
    pp_iter *iter = pp_imap(pool, bench_square, .input = naturals, .user = &next);
    double before;

    bench_check(iter != NULL, "imap_memory: no iterator");
    read_ns(iter, &read, count / 100);
    before = bench_memory_of_all();
    read_ns(iter, &read, count - count / 100);
    bench_report("first", before, "B");
    bench_report("last", bench_memory_of_all(), "B");
    stop_pool(pool);
}
