/* SPDX-License-Identifier: MIT */
/* Callbacks on the library's thread: when they run, and what they may do. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
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

static int fragile(int x)
{
    if (x == 1)
        pp_raise(EDOM, "one");
    if (x == 2)
        raise(SIGKILL);
    return x;
}
PP_TASK(int, fragile, int, x);

/* What the callbacks of a test have seen; the tests look at it after pp_join() or
   pp_wait(), which order it. */
struct seen {
    atomic_int calls;
    atomic_int errors;
    atomic_int inside;
    atomic_int code; /* what a call inside of the callback returned */
    atomic_int other;
    pp_pool *pool;
    pp_result *result;
    struct gate *gate;
    pid_t thread;
    long sum;
};

static void count(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    atomic_fetch_add(&seen->calls, 1);
}

static void count_error(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    atomic_fetch_add(&seen->errors, 1);
}

static void add_up(pp_result *result, void *user)
{
    struct seen *seen = user;
    long value = 0;

    CHECK_EQ(atomic_fetch_add(&seen->inside, 1), 0);
    CHECK_EQ(pp_get(result, &value), 0);
    seen->sum += value; /* no lock: one runs at a time */
    seen->thread = gettid();
    sched_yield();
    atomic_fetch_sub(&seen->inside, 1);
    atomic_fetch_add(&seen->calls, 1);
}

TEST(called_with_the_result)
{
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(2);
    pp_result *result =
        pp_apply_async(pool, PP_CALL(square, 5), .callback = add_up, .user = &seen);

    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(seen.sum, 25);
    CHECK(seen.thread != gettid());
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 1);
}

TEST(one_at_a_time, .timeout = 60)
{
    enum { TASKS = 5000 };
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < TASKS; i++)
        CHECK(pp_apply_async(pool, PP_CALL(square, 1), .callback = add_up, .user = &seen));
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(atomic_load(&seen.calls), TASKS);
    CHECK_EQ(seen.sum, TASKS);
    CHECK_EQ(pp_pool_free(pool), 0);
}

static void block(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    gate_wait(seen->gate);
    atomic_fetch_add(&seen->calls, 1);
}

/* A result is not reported ready before its callback has returned. */
TEST(before_ready)
{
    struct seen seen = { .gate = gate_new() };
    pp_pool *pool = pool_of(1);
    pp_result *result =
        pp_apply_async(pool, PP_CALL(square, 5), .callback = block, .user = &seen);

    CHECK_SOON(atomic_load(&seen.gate->waiting) == 1);
    CHECK(!pp_ready(result));
    CHECK(!pp_successful(result));
    CHECK_EQ(pp_wait(result, .timeout = 0.05), -ETIMEDOUT);
    CHECK_EQ(pp_get(result, NULL, .timeout = 0), -ETIMEDOUT);
    gate_open(seen.gate);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    finish(pool);
    gate_free(seen.gate);
}

TEST(get_returns_after_the_callback, .timeout = 60)
{
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(2);

    for (int i = 1; i <= 2000; i++) {
        pp_result *result =
            pp_apply_async(pool, PP_CALL(square, i), .callback = count, .user = &seen);

        CHECK_EQ(pp_get(result, NULL), 0);
        CHECK_EQ(atomic_load(&seen.calls), i);
        pp_result_free(result);
    }
    finish(pool);
}

/* A callback holds no lock: others go on while it runs. */
TEST(others_go_on_meanwhile)
{
    struct seen seen = { .gate = gate_new() };
    pp_pool *pool = pool_of(1);
    pp_result *result =
        pp_apply_async(pool, PP_CALL(square, 5), .callback = block, .user = &seen);
    long value = 0;

    CHECK_SOON(atomic_load(&seen.gate->waiting) == 1);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 6), &value), 0);
    CHECK_EQ(value, 36);
    CHECK_EQ(pp_get(pp_apply_async(pool, PP_CALL(square, 7)), &value), 0);
    CHECK_EQ(value, 49);
    gate_open(seen.gate);
    CHECK_EQ(pp_wait(result), 0);
    finish(pool);
    gate_free(seen.gate);
}

static void check_calls(pp_pool *pool, int argument, int calls, int errors)
{
    struct seen seen = { 0 };
    pp_result *result = pp_apply_async(pool, PP_CALL(fragile, argument), .callback = count,
                                       .error_callback = count_error, .user = &seen);

    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&seen.calls), calls);
    CHECK_EQ(atomic_load(&seen.errors), errors);
}

TEST(callback_or_error_callback)
{
    pp_pool *pool = pool_of(2);

    check_calls(pool, 0, 1, 0);
    check_calls(pool, 1, 0, 1);
    check_calls(pool, 2, 0, 1);
    finish(pool);
}

TEST(only_the_other_kind_is_wanted)
{
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(2);
    pp_result *fails =
        pp_apply_async(pool, PP_CALL(fragile, 1), .callback = count, .user = &seen);
    pp_result *succeeds =
        pp_apply_async(pool, PP_CALL(fragile, 0), .error_callback = count, .user = &seen);

    CHECK_EQ(pp_get(fails, NULL), PP_ERAISED);
    CHECK_EQ(pp_get(succeeds, NULL), 0);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 0);
}

TEST(once_for_a_map)
{
    static const int good[] = { 0, 3, 4 }, bad[] = { 0, 1, 2, 1 };
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_map_async(pool, fragile, good, 3, .callback = count,
                                     .error_callback = count_error, .user = &seen);

    CHECK_EQ(pp_get(result, NULL), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(atomic_load(&seen.errors), 0);
    result = pp_map_async(pool, fragile, bad, 4, .chunksize = 1, .callback = count,
                          .error_callback = count_error, .user = &seen);
    CHECK_EQ(pp_get(result, NULL), PP_ERAISED);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(atomic_load(&seen.errors), 1);
    finish(pool);
}

TEST(map_of_nothing)
{
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(1);
    int item = 0;
    pp_result *result = pp_map_async(pool, fragile, &item, 0, .callback = count,
                                     .error_callback = count_error, .user = &seen);

    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(atomic_load(&seen.errors), 0);
    finish(pool);
}

static void read_error(pp_result *result, void *user)
{
    struct seen *seen = user;

    atomic_store(&seen->code, pp_get(result, NULL));
    CHECK_EQ(pp_failures(result), 1);
    CHECK_EQ(pp_error_of(result)->code, EDOM);
    CHECK_STR(pp_failure(result, 0)->message, "one");
}

TEST(error_is_there_in_the_callback)
{
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(1);
    pp_result *result =
        pp_apply_async(pool, PP_CALL(fragile, 1), .error_callback = read_error, .user = &seen);

    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&seen.code), PP_ERAISED);
    finish(pool);
}

/* Each result has its callback called once, also when it is cancelled. */
TEST(called_for_what_terminate_cancels)
{
    enum { TASKS = 1000 };
    struct seen seen = { .gate = gate_new() };
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < TASKS; i++)
        CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, seen.gate, 1), .callback = count,
                             .error_callback = count_error, .user = &seen));
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(atomic_load(&seen.errors), TASKS);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(seen.gate);
}

TEST(not_called_for_what_free_ends)
{
    struct seen seen = { .gate = gate_new() };
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 100; i++)
        CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, seen.gate, 1), .callback = count,
                             .error_callback = count_error, .user = &seen));
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    CHECK_EQ(atomic_load(&seen.errors), 0);
    gate_free(seen.gate);
}

TEST(not_called_for_what_is_freed_early)
{
    struct seen seen = { .gate = gate_new() };
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 100; i++)
        pp_result_free(pp_apply_async(pool, PP_CALL(wait_and_square, seen.gate, 1),
                                      .callback = count, .error_callback = count_error,
                                      .user = &seen));
    gate_open(seen.gate);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    CHECK_EQ(atomic_load(&seen.errors), 0);
    gate_free(seen.gate);
}

TEST(poll_is_not_for_this_pool)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_poll(pool), -EINVAL);
    finish(pool);
}

/* The thread is there for callbacks alone, and goes with the pool. */
TEST(no_thread_without_callbacks)
{
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(2);
    size_t before = threads();
    long value;

    for (long i = 0; i < 100; i++)
        CHECK_EQ(pp_apply(pool, PP_CALL(square, i), &value), 0);
    CHECK_EQ(threads(), before);
    CHECK_EQ(pp_wait(pp_apply_async(pool, PP_CALL(square, 1), .callback = count,
                                    .user = &seen)), 0);
    finish(pool);
    CHECK_SOON(threads() == before);
}

static atomic_bool takes_signals;

/* A signal for the process must reach the program's threads, not the library's. */
static void *take_signals(void *user)
{
    atomic_int *done = user;

    atomic_store(&takes_signals, true);
    while (!atomic_load(done))
        usleep(1000);
    return NULL;
}

static atomic_int signalled_thread;

static void note_thread(int signal)
{
    (void)signal;
    atomic_store(&signalled_thread, gettid());
}

TEST(thread_takes_no_signals)
{
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(1);
    atomic_int done = 0;
    pthread_t helper;
    sigset_t usr1;

    signal(SIGUSR1, note_thread);
    CHECK_EQ(pp_wait(pp_apply_async(pool, PP_CALL(square, 1), .callback = add_up,
                                    .user = &seen)), 0);
    CHECK_EQ(pthread_create(&helper, NULL, take_signals, &done), 0);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);
    CHECK_SOON(atomic_load(&takes_signals)); /* TSan may lose one that comes before */
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_SOON(atomic_load(&signalled_thread) != 0);
    CHECK(atomic_load(&signalled_thread) != seen.thread);
    atomic_store(&done, 1);
    CHECK_EQ(pthread_join(helper, NULL), 0);
    finish(pool);
}

/* ---- A crash in a callback --------------------------------------------------- */

static sigjmp_buf before_the_crash;
static atomic_int crashed_signal;

static void leap(int signal)
{
    atomic_store(&crashed_signal, signal);
    siglongjmp(before_the_crash, 1);
}

static void crash(pp_result *result, void *user)
{
    volatile int *volatile nowhere = NULL;

    (void)result, (void)user;
    if (sigsetjmp(before_the_crash, 1) == 0)
        *nowhere = 1;
}

/* The program may have a handler for that, as runtimes of other languages do. */
TEST(handler_of_a_crash_in_a_callback)
{
    struct sigaction action = { .sa_handler = leap }, before;
    pp_pool *pool = pool_of(1);
    pp_result *result;

    CHECK_EQ(sigaction(SIGSEGV, &action, &before), 0);
    result = pp_apply_async(pool, PP_CALL(square, 1), .callback = crash);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&crashed_signal), SIGSEGV);
    CHECK_EQ(sigaction(SIGSEGV, &before, NULL), 0);
    finish(pool);
}
