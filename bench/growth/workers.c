/* SPDX-License-Identifier: MIT */
/*
 * workers: tasks per second with 1 to 64 workers, trivial ones and those that take 100 us of
 * CPU time; workers_start: the time to create a pool of these, run a task and stop.
 */
#include "curve.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_WORKERS = 64, TASK_NS = 100000 };

PP_TASK(long, bench_burn, long, ns);

struct batch {
    pp_pool *pool;
    pp_result **results;
    size_t count;
};

static uint64_t squares_ns(void *data)
{
    const struct batch *batch = data;
    uint64_t begin_ns = bench_now_ns();

    for (size_t i = 0; i < batch->count; i++)
        batch->results[i] = pp_apply_async(batch->pool, PP_CALL(bench_square, (long)i));
    for (size_t i = 0; i < batch->count; i++) {
        long x = (long)i, value = -1;

        bench_check(pp_get(batch->results[i], &value) == 0 && value == x * x,
                    "workers: wrong result");
        pp_result_free(batch->results[i]);
    }
    return bench_now_ns() - begin_ns;
}

static uint64_t burns_ns(void *data)
{
    const struct batch *batch = data;
    uint64_t begin_ns = bench_now_ns();

    for (size_t i = 0; i < batch->count; i++)
        batch->results[i] = pp_apply_async(batch->pool, PP_CALL(bench_burn, (long)TASK_NS));
    for (size_t i = 0; i < batch->count; i++) {
        bench_check(pp_get(batch->results[i], NULL) == 0, "workers: a call failed");
        pp_result_free(batch->results[i]);
    }
    return bench_now_ns() - begin_ns;
}

BENCH_WORKLOAD(workers)
{
    struct batch batch = { .results = bench_alloc(50000 * sizeof(pp_result *)) };

    for (int workers = 1; workers <= MAX_WORKERS; workers *= 2) {
        int busy = workers < bench_cpus() ? workers : bench_cpus();

        batch.pool = curve_pool(workers);
        batch.count = bench_count(50000, scale);
        curve_point("trivial", workers,
                    (double)batch.count / curve_median_s(squares_ns, &batch, 0.3 * scale));
        batch.count = bench_count(2000, scale);
        curve_point("of_100us", workers,
                    (double)batch.count / curve_median_s(burns_ns, &batch, 0.3 * scale));
        curve_point("ideal", workers, busy * 1e9 / TASK_NS);
        curve_stop(batch.pool);
    }
    free(batch.results);
}

/* ---- Starting them ---- */

static uint64_t life_ns(void *data)
{
    int workers = *(const int *)data;
    long value = -1;
    uint64_t begin_ns = bench_now_ns();
    pp_pool *pool = curve_pool(workers);
    int error = pp_apply(pool, PP_CALL(bench_square, 5L), &value);

    curve_stop(pool);

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0 && value == 25, "workers_start: wrong result");
    return took_ns;
}

/* As many processes, all there at the same time, that do nothing. */
static uint64_t forks_ns(void *data)
{
    int count = *(const int *)data;
    pid_t children[MAX_WORKERS];
    int ends[2];
    char byte;
    uint64_t begin_ns = bench_now_ns();

    bench_check(pipe(ends) == 0, "workers_start: no pipe");
    for (int i = 0; i < count; i++) {
        children[i] = bench_fork();
        if (children[i] == 0) {
            close(ends[1]);
            _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1); /* until the parent closes it */
        }
    }
    close(ends[0]);
    close(ends[1]);
    for (int i = 0; i < count; i++)
        bench_check(waitpid(children[i], NULL, 0) == children[i], "workers_start: lost one");
    return bench_now_ns() - begin_ns;
}

BENCH_WORKLOAD(workers_start)
{
    for (int workers = 1; workers <= MAX_WORKERS; workers *= 2) {
        curve_point("procpool", workers, curve_median_s(life_ns, &workers, 0.4 * scale));
        curve_point("forks", workers, curve_median_s(forks_ns, &workers, 0.2 * scale));
    }
}
