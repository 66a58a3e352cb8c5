/* SPDX-License-Identifier: MIT */
/*
 * client_memory: what the size of the program, 10 MB to 4 GB in small pages, does to the time
 * of a fork, of a pool's life and of a worker's replacement.
 */
#include "curve.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* Tells its process, then waits for its death. */
static void hang(_Atomic pid_t *where)
{
    atomic_store(where, getpid());
    for (;;)
        pause();
}
PP_TASK(void, hang, _Atomic pid_t *, where);

struct victim {
    pp_pool *pool;
    _Atomic pid_t *where;
};

static uint64_t fork_ns(void *unused)
{
    uint64_t begin_ns = bench_now_ns();
    pid_t child = bench_fork();

    (void)unused;
    if (child == 0)
        _exit(0);
    bench_check(waitpid(child, NULL, 0) == child, "client_memory: lost a child");
    return bench_now_ns() - begin_ns;
}

static uint64_t life_ns(void *unused)
{
    uint64_t begin_ns = bench_now_ns();
    pp_pool *pool = curve_pool(BENCH_WORKERS);

    (void)unused;
    bench_check(pp_apply(pool, PP_CALL(bench_square, 5L), NULL) == 0, "a call failed");
    curve_stop(pool);
    return bench_now_ns() - begin_ns;
}

/* From the only worker's death to the value of the next call. */
static uint64_t replacement_ns(void *data)
{
    struct victim *victim = data;
    pp_result *doomed = pp_apply_async(victim->pool, PP_CALL(hang, victim->where));
    pid_t pid;

    while ((pid = atomic_exchange(victim->where, 0)) == 0)
        usleep(50);

    pp_result *next = pp_apply_async(victim->pool, PP_CALL(bench_square, 7L));
    long value = -1;
    uint64_t begin_ns = bench_now_ns();

    kill(pid, SIGKILL);

    int error = pp_get(next, &value);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0 && value == 49, "client_memory: wrong result");
    bench_check(pp_get(doomed, NULL) == PP_ECRASHED, "client_memory: no error");
    pp_result_free(doomed);
    pp_result_free(next);
    return took_ns;
}

static struct victim new_victim(void)
{
    struct victim victim = { .pool = curve_pool(1) };

    victim.where = curve_shared(victim.pool, sizeof *victim.where);
    return victim;
}

BENCH_WORKLOAD(client_memory)
{
    const size_t megabytes[] = { 10, 30, 100, 300, 1000, 2000, 4000 };
    struct victim old = new_victim(); /* the program grows when its pool is there */
    size_t have = 0;

    for (int i = 0; i < 7 && (scale >= 1 || megabytes[i] <= 300); i++) {
        double bytes = (double)megabytes[i] * 1e6;

        curve_grow((megabytes[i] - have) * 1000000);
        have = megabytes[i];
        curve_point("fork", bytes, curve_median_s(fork_ns, NULL, 0.1));
        curve_point("life", bytes, curve_median_s(life_ns, NULL, 0.2));

        struct victim young = new_victim();

        curve_point("replaced", bytes, curve_median_s(replacement_ns, &young, 0.1));
        curve_stop(young.pool);
        curve_point("replaced_old", bytes, curve_median_s(replacement_ns, &old, 0.1));
    }
    curve_stop(old.pool);
}
