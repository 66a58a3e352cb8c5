/* SPDX-License-Identifier: MIT */
/* threads: calls per second when 1 to 8 threads of the program submit, waiting for each call
   or for a batch of them. */
#include "curve.h"

#include <pthread.h>
#include <stdlib.h>

enum { MAX_THREADS = 8, BATCH = 1000 };

struct crowd {
    pp_pool *pool;
    void *(*run)(void *crowd);
    int threads;
    size_t calls; /* of each thread */
};

static void *wait_for_each(void *data)
{
    const struct crowd *crowd = data;

    for (size_t i = 0; i < crowd->calls; i++) {
        long x = (long)i, value = -1;

        bench_check(pp_apply(crowd->pool, PP_CALL(bench_square, x), &value) == 0 &&
                        value == x * x,
                    "threads: wrong result");
    }
    return NULL;
}

static void one_batch(pp_pool *pool, pp_result **results)
{
    for (long i = 0; i < BATCH; i++)
        results[i] = pp_apply_async(pool, PP_CALL(bench_square, i));
    for (long i = 0; i < BATCH; i++) {
        long value = -1;

        bench_check(pp_get(results[i], &value) == 0 && value == i * i,
                    "threads: wrong result");
        pp_result_free(results[i]);
    }
}

static void *wait_for_batches(void *data)
{
    const struct crowd *crowd = data;
    pp_result *results[BATCH];

    for (size_t i = 0; i < crowd->calls / BATCH; i++)
        one_batch(crowd->pool, results);
    return NULL;
}

static uint64_t crowd_ns(void *data)
{
    struct crowd *crowd = data;
    pthread_t threads[MAX_THREADS];
    uint64_t begin_ns = bench_now_ns();

    for (int i = 0; i < crowd->threads; i++)
        bench_check(pthread_create(&threads[i], NULL, crowd->run, crowd) == 0,
                    "threads: cannot create one");
    for (int i = 0; i < crowd->threads; i++)
        pthread_join(threads[i], NULL);
    return bench_now_ns() - begin_ns;
}

static void measure(const char *series, struct crowd *crowd, double scale)
{
    double took_s = curve_median_s(crowd_ns, crowd, 0.5 * scale);

    curve_point(series, crowd->threads,
                (double)crowd->calls * (double)crowd->threads / took_s);
}

BENCH_WORKLOAD(threads)
{
    struct crowd crowd = { .pool = curve_pool(BENCH_WORKERS) };

    for (crowd.threads = 1; crowd.threads <= MAX_THREADS; crowd.threads++) {
        crowd.run = wait_for_each;
        crowd.calls = bench_count(2000, scale);
        measure("each", &crowd, scale);
        crowd.run = wait_for_batches;
        crowd.calls = 10 * BATCH;
        measure("batches", &crowd, scale);
    }
    curve_stop(crowd.pool);
}
