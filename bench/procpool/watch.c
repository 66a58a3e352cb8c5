/* SPDX-License-Identifier: MIT */
/*
 * watch: what it costs maps when another thread of the client looks into the pool, at the pool
 * and at each worker, 10,000 times a second.  Such a thread takes a CPU from the workers by being
 * woken so often, whatever it does then: one that does nothing is measured, too.
 */
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { PERIOD_NS = 100000, ROUNDS = 25 };

PP_TASK(long, bench_grind, long, x);

/* ---- Who watches ---- */

struct watcher {
    pp_pool *pool; /* NULL: it looks at nothing */
    pthread_t thread;
    atomic_bool stop;
    uint64_t looks;
};

static void look(pp_pool *pool)
{
    pp_worker_stats workers[BENCH_WORKERS];
    pp_stats stats = pp_stats_of(pool);

    bench_check(stats.processes == BENCH_WORKERS &&
                    pp_worker_stats_of(pool, workers, BENCH_WORKERS) == BENCH_WORKERS,
                "watch: wrong numbers");
}

static void *keep_watching(void *what)
{
    struct watcher *watcher = what;
    struct timespec next;

    clock_gettime(CLOCK_MONOTONIC, &next);
    for (; !atomic_load(&watcher->stop); watcher->looks++) {
        if (watcher->pool)
            look(watcher->pool);
        next.tv_nsec += PERIOD_NS;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    return NULL;
}

static void begin_watching(struct watcher *watcher, pp_pool *pool)
{
    *watcher = (struct watcher){ .pool = pool };
    bench_check(pthread_create(&watcher->thread, NULL, keep_watching, watcher) == 0,
                "watch: cannot create a thread");
}

static void end_watching(struct watcher *watcher)
{
    atomic_store(&watcher->stop, true);
    pthread_join(watcher->thread, NULL);
}

/* ---- What is watched ---- */

struct work {
    long *items, *values;
    size_t count;
    int maps; /* in a row */
    bool heavy;
};

static double maps_ns(pp_pool *pool, const struct work *work)
{
    uint64_t begin_ns = bench_now_ns();

    for (int i = 0; i < work->maps; i++) {
        int error = work->heavy
                        ? pp_map(pool, bench_grind, work->items, work->count, work->values)
                        : pp_map(pool, bench_square, work->items, work->count, work->values);

        bench_check(error == 0, "watch: an item failed");
    }
    return (double)(bench_now_ns() - begin_ns);
}

enum { ALONE, TICKED, WATCHED, WAYS };

static double measure_one(pp_pool *pool, const struct work *work, int way, uint64_t *looks)
{
    struct watcher watcher;
    double took_ns;

    if (way != ALONE)
        begin_watching(&watcher, way == WATCHED ? pool : NULL);
    took_ns = maps_ns(pool, work);
    if (way == ALONE)
        return took_ns;
    end_watching(&watcher);
    if (way == WATCHED)
        *looks += watcher.looks;
    return took_ns;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report_median(const char *metric, double *ratios)
{
    qsort(ratios, ROUNDS, sizeof *ratios, compare);
    bench_report(metric, ratios[ROUNDS / 2], "x");
}

/* All three ways in turn, each time in another order. */
static void measure(pp_pool *pool, const struct work *work, const char *names[3])
{
    double watched[ROUNDS], ticked[ROUNDS], took_ns[WAYS], total_ns = 0;
    uint64_t looks = 0;

    bench_items(work->items, work->count);
    maps_ns(pool, work);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < WAYS; i++)
            took_ns[(round + i) % WAYS] = measure_one(pool, work, (round + i) % WAYS, &looks);
        watched[round] = took_ns[WATCHED] / took_ns[ALONE];
        ticked[round] = took_ns[TICKED] / took_ns[ALONE];
        total_ns += took_ns[WATCHED];
    }
    report_median(names[0], watched);
    report_median(names[1], ticked);
    bench_report(names[2], (double)looks / (total_ns / 1e9), "/s");
}

BENCH_WORKLOAD(watch)
{
    size_t most = bench_count(1000000, scale), few = bench_count(20000, scale);
    struct work work = { .items = bench_alloc(most * sizeof(long)),
                         .values = bench_alloc(most * sizeof(long)) };
    pp_pool *pool = warm_pool();

    work.count = most;
    work.maps = 10;
    measure(pool, &work, (const char *[]){ "squares", "squares_ticked", "squares_looks" });
    work.count = few;
    work.maps = 1;
    work.heavy = true;
    measure(pool, &work, (const char *[]){ "heavy", "heavy_ticked", "heavy_looks" });
    stop_pool(pool);
    free(work.items);
    free(work.values);
}
