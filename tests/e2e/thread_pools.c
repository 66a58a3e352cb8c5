/* SPDX-License-Identifier: MIT */
/* Pools whose workers are threads: where they differ from processes. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

static pp_pool *threads_of(int workers)
{
    pp_pool *pool = pp_pool_new(.processes = workers, .start = PP_THREADS);

    CHECK(pool != NULL);
    return pool;
}

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static pid_t process_of(int unused)
{
    return getpid() + unused;
}
PP_TASK(pid_t, process_of, int, unused);

static pid_t thread_of(int unused)
{
    return gettid() + unused;
}
PP_TASK(pid_t, thread_of, int, unused);

TEST(they_are_threads_of_this_process)
{
    size_t before = threads();
    pp_pool *pool = threads_of(3);
    pid_t seen = 0;

    CHECK_EQ(threads(), before + 4); /* with the supervisor */
    CHECK_EQ(processes(), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(process_of, 0), &seen), 0);
    CHECK_EQ(seen, getpid());
    CHECK_EQ(pp_apply(pool, PP_CALL(thread_of, 0), &seen), 0);
    CHECK(seen != gettid());
    finish(pool);
    CHECK_SOON(threads() == before);
}

static int shared_with_tasks;

static void add(int x)
{
    __atomic_fetch_add(&shared_with_tasks, x, __ATOMIC_RELAXED);
}
PP_TASK(void, add, int, x);

TEST(memory_is_shared)
{
    pp_pool *pool = threads_of(2);
    int items[100];

    for (int i = 0; i < 100; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, add, items, 100, NULL), 0);
    CHECK_EQ(shared_with_tasks, 4950);
    finish(pool);
}

TEST(time_limits_are_refused)
{
    pp_pool *pool = threads_of(1);
    long item = 2, out;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), NULL, .time_limit = 10), -ENOTSUP);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(square, 2), .time_limit = 10), ENOTSUP);
    CHECK_EQ(pp_map(pool, square, &item, 1, &out, .time_limit = 10), -ENOTSUP);
    CHECK_NULL(pp_imap(pool, square, .items = &item, .count = 1, .time_limit = 10), ENOTSUP);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), &out, .grace = 1, .retries = 2), 0);
    CHECK_EQ(out, 4);
    finish(pool);
}

static void wait_at(struct gate *gate)
{
    gate_wait(gate);
}
PP_TASK(void, wait_at, struct gate *, gate);

/* What runs cannot be killed: it ends by itself, and then its outcome counts. */
TEST(cancelling_what_runs)
{
    struct gate *gate = gate_new();
    pp_pool *pool = threads_of(1);
    pp_result *running = pp_apply_async(pool, PP_CALL(wait_at, gate));
    pp_result *waiting = pp_apply_async(pool, PP_CALL(wait_at, gate));

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_cancel(waiting), 0);
    CHECK_EQ(pp_get(waiting, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_cancel(running), 0);
    CHECK_EQ(pp_wait(running, .timeout = 0.05), -ETIMEDOUT);
    gate_open(gate);
    CHECK_EQ(pp_get(running, NULL), 0);
    finish(pool);
    gate_free(gate);
}

/* Items of a chunk that have not begun are cancelled, too. */
TEST(cancelling_within_a_chunk)
{
    struct gate *gate = gate_new(), *items[] = { gate, gate, gate };
    pp_pool *pool = threads_of(1);
    pp_result *result = pp_map_async(pool, wait_at, items, 3, .chunksize = 3);

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_cancel(result), 0);
    gate_open(gate);
    CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_failures(result), 2);
    CHECK_EQ(atomic_load(&gate->waiting), 1);
    finish(pool);
    gate_free(gate);
}

static void nap(int us)
{
    usleep((useconds_t)us);
}
PP_TASK(void, nap, int, us);

TEST(terminating_drops_what_waits)
{
    pp_pool *pool = threads_of(2);
    pp_result *results[200];
    int cancelled = 0;

    for (int i = 0; i < 200; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(nap, 20000))));
    CHECK_EQ(pp_terminate(pool), 0);
    for (int i = 0; i < 200; i++)
        cancelled += pp_get(results[i], NULL) == PP_ECANCELLED;
    CHECK(cancelled >= 190);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

static int end(pp_pool *pool, int how)
{
    return how == 0 ? pp_join(pool) : how == 1 ? pp_terminate(pool) : pp_pool_free(pool);
}
PP_TASK(int, end, pp_pool *, pool, int, how);

TEST(a_task_cannot_end_its_pool)
{
    pp_pool *pool = threads_of(2);

    for (int how = 0; how < 3; how++) {
        int code = 0;

        CHECK_EQ(pp_apply(pool, PP_CALL(end, pool, how), &code), 0);
        CHECK_EQ(code, -EDEADLK);
    }
    finish(pool);
}

static long square_of_square(pp_pool *pool, long x)
{
    long y;

    return pp_apply(pool, PP_CALL(square, x), &y) == 0 ? y * y : -1;
}
PP_TASK(long, square_of_square, pp_pool *, pool, long, x);

TEST(a_task_can_use_its_pool)
{
    pp_pool *pool = threads_of(2);
    long seen;

    CHECK_EQ(pp_apply(pool, PP_CALL(square_of_square, pool, 3), &seen), 0);
    CHECK_EQ(seen, 81);
    finish(pool);
}

static _Thread_local int started;

static int start(void *counter)
{
    __atomic_fetch_add((int *)counter, 1, __ATOMIC_RELAXED);
    started = 1;
    return 0;
}

static int has_started(int unused)
{
    return started + unused;
}
PP_TASK(int, has_started, int, unused);

TEST(each_thread_is_initialized)
{
    int counter = 0, items[40] = { 0 };
    pp_pool *pool = pp_pool_new(.processes = 3, .start = PP_THREADS, .initializer = start,
                                .initarg = &counter, .max_tasks_per_child = 5);

    CHECK(pool != NULL);
    CHECK(__atomic_load_n(&counter, __ATOMIC_RELAXED) == 3);
    CHECK_EQ(pp_map(pool, has_started, items, 40, items, .chunksize = 1), 0);
    for (int i = 0; i < 40; i++)
        CHECK_EQ(items[i], 1);
    finish(pool);
    CHECK(counter >= 8);
}

static int fail(void *code)
{
    return *(int *)code;
}

TEST(an_initializer_that_fails)
{
    int code = ENOTTY;
    pp_error *error = NULL;

    CHECK_NULL(pp_pool_new(.processes = 3, .start = PP_THREADS, .initializer = fail,
                           .initarg = &code, .error = &error), ENOTTY);
    CHECK_HAS(error->message, "returned 25");
    free(error);
}

static volatile sig_atomic_t handled_in;

static void on_signal(int number)
{
    (void)number;
    handled_in = (sig_atomic_t)gettid();
}

/* Signals that are sent to the process are for the program's own threads: while these block
   one, it waits. */
TEST(signals_are_for_other_threads)
{
    struct sigaction action = { .sa_handler = on_signal };
    pp_pool *pool = threads_of(3);
    sigset_t usr1, pending;

    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    for (int i = 0; i < 20; i++) {
        handled_in = 0;
        CHECK_EQ(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        CHECK_EQ(pp_apply(pool, PP_CALL(nap, 1000), NULL), 0);
        CHECK_EQ(handled_in, 0);
        CHECK_EQ(sigpending(&pending), 0);
        CHECK(sigismember(&pending, SIGUSR1));
        CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL), 0);
        CHECK_EQ(handled_in, gettid());
    }
    finish(pool);
}

TEST(two_pools_at_once)
{
    pp_pool *one = threads_of(2), *two = pool_of(2);
    long seen;

    for (long i = 0; i < 100; i++) {
        CHECK_EQ(pp_apply(i % 2 ? one : two, PP_CALL(square, i), &seen), 0);
        CHECK_EQ(seen, i * i);
    }
    finish(one);
    finish(two);
}
