/* SPDX-License-Identifier: MIT */
/* Pools: making, closing, joining, terminating, freeing. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

/* What a task may well do: be a program that has a pool. */
static long square_in_a_pool(long x)
{
    pp_pool *pool = pp_pool_new(.processes = 1);
    long value = 0;
    int error = pool ? pp_apply(pool, PP_CALL(square, x), &value) : -errno;

    pp_pool_free(pool);
    return error ? error : value;
}
PP_TASK(long, square_in_a_pool, long, x);

/* Ignores all that can be ignored, and says so by coming to the gate. */
static int endure(struct gate *gate)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_IGN);
    gate_wait(gate);
    return 0;
}
PP_TASK(int, endure, struct gate *, gate);

/* A daemon that the task leaves behind. */
static int leave_behind(struct gate *gate)
{
    if (fork() == 0) {
        if (fork() == 0) {
            setsid();
            endure(gate);
        }
        _exit(0);
    }
    wait(NULL);
    while (atomic_load(&gate->waiting) == 0)
        usleep(100);
    return 0;
}
PP_TASK(int, leave_behind, struct gate *, gate);

static void check_works(pp_pool *pool)
{
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 5), &value), 0);
    CHECK_EQ(value, 25);
}

TEST(as_many_workers_as_asked_for)
{
    static const int counts[] = { 1, 2, 3, 8, 40 };
    struct census census;

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        pp_pool *pool = pool_of(counts[i]);

        CHECK(take_census(&census, (size_t)counts[i])); /* they are there already */
        check_works(pool);
        finish(pool);
        CHECK_EQ(processes(), 0);
    }
}

TEST(as_many_workers_as_cpus)
{
    struct census census;
    cpu_set_t cpus;
    pp_pool *pool = pp_pool_new();

    CHECK(pool != NULL);
    CHECK_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    take_census(&census, 0);
    CHECK(census.count >= 1 && census.count <= (size_t)CPU_COUNT(&cpus));
    check_works(pool);
    finish(pool);
}

TEST(as_many_workers_as_cpus_that_may_be_used)
{
    struct census census;
    cpu_set_t cpus, one;
    pp_pool *pool;

    CHECK_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &cpus))
            CPU_SET(i, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    pool = pp_pool_new();
    CHECK(pool != NULL);
    CHECK(take_census(&census, 1));
    check_works(pool);
    finish(pool);
}

TEST(without_options)
{
    pp_pool *pool = pp_pool_new_with(NULL);

    CHECK(pool != NULL);
    check_works(pool);
    finish(pool);
}

TEST(descriptors_are_closed_on_exec)
{
    bool before[64];
    pp_pool *pool;

    for (int fd = 0; fd < 64; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    pool = pool_of(2);
    check_works(pool);
    for (int fd = 0; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);

        CHECK(before[fd] || flags < 0 || flags & FD_CLOEXEC);
    }
    finish(pool);
}

TEST(close_twice)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

static void check_refuses(pp_pool *pool)
{
    long item = 1;
    PP_ARGS(square) star = { 1 };

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL), -ESHUTDOWN);
    CHECK_EQ(pp_map(pool, square, &item, 1, NULL), -ESHUTDOWN);
    CHECK_EQ(pp_starmap(pool, square, &star, 1, NULL), -ESHUTDOWN);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(square, 1)), ESHUTDOWN);
    CHECK_NULL(pp_map_async(pool, square, &item, 1), ESHUTDOWN);
    CHECK_NULL(pp_starmap_async(pool, square, &star, 1), ESHUTDOWN);
}

TEST(submit_after_close)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_close(pool), 0);
    check_refuses(pool);
    CHECK_EQ(pp_join(pool), 0);
    check_refuses(pool);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(submit_after_terminate)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_terminate(pool), 0);
    check_refuses(pool);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(close_lets_tasks_run_on)
{
    enum { TASKS = 1000 };
    static pp_result *results[TASKS];
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < TASKS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_and_square, gate, i));
    CHECK_EQ(pp_close(pool), 0);
    gate_open(gate);
    for (long i = 0; i < TASKS; i++) {
        long value = 0;

        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(join_before_close)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_join(pool), -EBUSY);
    CHECK_EQ(pp_join(pool, .timeout = 0), -EBUSY);
    check_works(pool);
    finish(pool);
}

TEST(join_times_out)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 2));
    double start = harness_now();

    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool, .timeout = 0.05), -ETIMEDOUT);
    CHECK(harness_now() - start >= 0.05);
    CHECK_EQ(pp_join(pool, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(pp_join(pool, .timeout = -1), -ETIMEDOUT);
    CHECK_EQ(pp_join(pool, .timeout = NAN), -EINVAL);
    gate_open(gate);
    CHECK_EQ(pp_join(pool, .timeout = 1000), 0);
    CHECK_EQ(pp_join(pool, .timeout = 0), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_get(result, NULL), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(no_process_after_join)
{
    pp_pool *pool = pool_of(3);

    check_works(pool);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(processes(), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(free_nothing)
{
    CHECK_EQ(pp_pool_free(NULL), 0);
}

TEST(free_idle)
{
    CHECK_EQ(pp_pool_free(pool_of(3)), 0);
    CHECK_EQ(processes(), 0);
}

TEST(free_running)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 5000; i++)
        CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, i)));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(processes(), 0);
    gate_free(gate);
}

TEST(free_with_results_not_got)
{
    pp_pool *pool = pool_of(2);
    long items[1000] = { 0 };

    for (int i = 0; i < 100; i++) {
        CHECK(pp_apply_async(pool, PP_CALL(square, i)));
        CHECK(pp_map_async(pool, square, items, 1000));
    }
    finish(pool);
}

TEST(free_takes_what_tasks_have_left_behind)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_apply(pool, PP_CALL(leave_behind, gate), NULL), 0);
    check_works(pool);
    CHECK_EQ(processes(), 3);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(processes(), 0);
    gate_free(gate);
}

TEST(scoped)
{
    struct gate *gate = gate_new();

    for (int i = 0; i < 3; i++) {
        PP_SCOPED pp_pool *pool = pool_of(2);

        CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1)));
        if (i == 1)
            continue;
        check_works(pool);
    }
    CHECK_EQ(processes(), 0);
    gate_free(gate);
}

TEST(scoped_without_pool)
{
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = -1);

    CHECK_EQ(pool, NULL);
}

TEST(several_pools)
{
    enum { POOLS = 6 };
    pp_pool *pools[POOLS];
    pp_result *results[POOLS][50];

    for (int p = 0; p < POOLS; p++) {
        pools[p] = pool_of(1 + p % 2);
        for (int i = 0; i < 50; i++)
            results[p][i] = pp_apply_async(pools[p], PP_CALL(square, p * i));
    }
    for (int p = POOLS - 1; p >= 0; p--)
        for (int i = 0; i < 50; i++) {
            long value = -1;

            CHECK_EQ(pp_get(results[p][i], &value), 0);
            CHECK_EQ(value, p * i * p * i);
        }
    for (int p = 0; p < POOLS; p += 2)
        CHECK_EQ(pp_pool_free(pools[p]), 0);
    for (int p = 1; p < POOLS; p += 2) {
        check_works(pools[p]);
        finish(pools[p]);
    }
}

TEST(pool_in_a_task)
{
    pp_pool *pool = pool_of(2);
    long items[] = { 3, 4, 5, 6 }, out[4] = { 0 };

    CHECK_EQ(pp_map(pool, square_in_a_pool, items, 4, out), 0);
    for (long i = 0; i < 4; i++)
        CHECK_EQ(out[i], (i + 3) * (i + 3));
    finish(pool);
}

static void *make_pool(void *unused)
{
    (void)unused;
    return pool_of(2);
}

/* A pool belongs to the process, not to the thread that made it. */
TEST(made_by_a_thread_that_ended)
{
    pthread_t thread;
    size_t alone = threads();
    void *pool;
    struct census before, after;

    CHECK_EQ(pthread_create(&thread, NULL, make_pool, NULL), 0);
    CHECK_EQ(pthread_join(thread, &pool), 0);
    CHECK_SOON(threads() == alone);
    CHECK(take_census(&before, 2));
    for (int i = 0; i < 100; i++)
        check_works(pool);
    CHECK(take_census(&after, 2));
    CHECK_EQ(before.supervisor, after.supervisor);
    CHECK_EQ(before.workers[0] + before.workers[1], after.workers[0] + after.workers[1]);
    finish(pool);
}

static void *free_pool(void *pool)
{
    CHECK_EQ(pp_pool_free(pool), 0);
    return NULL;
}

TEST(freed_by_another_thread)
{
    pp_pool *pool = pool_of(2);
    pthread_t thread;

    check_works(pool);
    CHECK_EQ(pthread_create(&thread, NULL, free_pool, pool), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* A sleeping pool uses no processor time. */
TEST(idle_costs_nothing)
{
    struct census census;
    pp_pool *pool = pool_of(2);
    unsigned long before = 0, after = 0;

    check_works(pool);
    CHECK(take_census(&census, 2));
    usleep(200000); /* after the last work they may look about for a moment */
    for (int round = 0; round < 2; round++) {
        unsigned long *ticks = round ? &after : &before;
        pid_t pids[] = { census.supervisor, census.workers[0], census.workers[1] };

        for (int i = 0; i < 3; i++) {
            clockid_t clock;
            struct timespec used;

            CHECK_EQ(clock_getcpuclockid(pids[i], &clock), 0);
            CHECK_EQ(clock_gettime(clock, &used), 0);
            *ticks += (unsigned long)(used.tv_sec * 1000000 + used.tv_nsec / 1000);
        }
        if (!round)
            usleep(500000);
    }
    if (after - before > 5000 && !HARNESS_SANITIZED)
        FAIL("%lu us of processor time in half a second of idleness", after - before);
    finish(pool);
}
