/* SPDX-License-Identifier: MIT */
/* PP_CALLBACKS_POLL: callbacks run in pp_poll() and in the functions that wait. */
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

static void touch(atomic_int *counter)
{
    atomic_fetch_add(counter, 1);
}
PP_TASK(void, touch, atomic_int *, counter);

struct seen {
    int calls;
    int errors;
    int code;
    long sum;
    pp_pool *pool;
};

static void add_up(pp_result *result, void *user)
{
    struct seen *seen = user;
    long value = 0;

    CHECK_EQ(gettid(), getpid()); /* that of the test: no other thread is started */
    CHECK_EQ(pp_get(result, &value), 0);
    seen->sum += value;
    seen->calls++;
}

static void count_error(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    seen->errors++;
}

static pp_pool *polled_pool(int workers)
{
    pp_pool *pool = pp_pool_new(.processes = workers, .callbacks = PP_CALLBACKS_POLL);

    CHECK(pool != NULL);
    return pool;
}

static void submit(pp_pool *pool, int tasks, struct seen *seen)
{
    for (int i = 0; i < tasks; i++)
        CHECK(pp_apply_async(pool, PP_CALL(square, 2), .callback = add_up,
                             .error_callback = count_error, .user = seen));
}

TEST(nothing_to_poll)
{
    pp_pool *pool = polled_pool(1);

    CHECK_EQ(pp_poll(pool), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), NULL), 0);
    CHECK_EQ(pp_poll(pool), 0);
    finish(pool);
}

TEST(poll_runs_callbacks)
{
    struct seen seen = { 0 };
    pp_pool *pool = polled_pool(2);
    int calls = 0;

    submit(pool, 100, &seen);
    CHECK_EQ(seen.calls, 0); /* not inside of submitting */
    while (calls < 100) {
        int ran = pp_poll(pool);

        CHECK(ran >= 0);
        calls += ran;
        CHECK_EQ(seen.calls, calls);
    }
    CHECK_EQ(seen.sum, 400);
    CHECK_EQ(pp_poll(pool), 0);
    finish(pool);
    CHECK_EQ(seen.calls, 100);
}

TEST(not_by_themselves)
{
    struct seen seen = { 0 };
    atomic_int *counter = shared_new(sizeof *counter);
    pp_pool *pool = polled_pool(1);
    pp_result *result;

    submit(pool, 1, &seen);
    result = pp_apply_async(pool, PP_CALL(touch, counter));
    CHECK_SOON(atomic_load(counter) == 1); /* the one before is done */
    CHECK_EQ(seen.calls, 0);
    CHECK_SOON(pp_poll(pool) == 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(pp_wait(result), 0);
    finish(pool);
    shared_free(counter, sizeof *counter);
}

TEST(wait_runs_the_callback)
{
    struct seen seen = { 0 };
    pp_pool *pool = polled_pool(1);
    pp_result *result =
        pp_apply_async(pool, PP_CALL(square, 3), .callback = add_up, .user = &seen);

    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(seen.calls, 1);
    result = pp_apply_async(pool, PP_CALL(square, 3), .callback = add_up, .user = &seen);
    CHECK_EQ(pp_get(result, NULL), 0);
    CHECK_EQ(seen.calls, 2);
    CHECK_EQ(pp_poll(pool), 0);
    finish(pool);
}

TEST(join_runs_the_callbacks, .timeout = 60)
{
    enum { TASKS = 20000 };
    struct seen seen = { 0 };
    pp_pool *pool = polled_pool(2);

    submit(pool, TASKS, &seen);
    finish(pool);
    CHECK_EQ(seen.calls, TASKS);
    CHECK_EQ(seen.sum, 4 * TASKS);
}

TEST(no_thread_is_started, .timeout = 60)
{
    enum { TASKS = 30000 };
    struct seen seen = { 0 };
    size_t before = threads();
    pp_pool *pool = polled_pool(1);

    submit(pool, TASKS, &seen); /* more than the queue holds */
    CHECK_EQ(threads(), before);
    while (seen.calls < TASKS)
        CHECK(pp_poll(pool) >= 0);
    CHECK_EQ(threads(), before);
    finish(pool);
}

TEST(terminate_cancels)
{
    struct seen seen = { 0 };
    struct gate *gate = gate_new();
    pp_pool *pool = polled_pool(1);

    for (int i = 0; i < 10; i++)
        CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1), .callback = add_up,
                             .error_callback = count_error, .user = &seen));
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(seen.errors, 10);
    CHECK_EQ(seen.calls, 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

static void poll_inside(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    seen->code = pp_poll(seen->pool);
}

static void join_inside(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    CHECK_EQ(pp_close(seen->pool), 0);
    seen->code = pp_join(seen->pool);
}

static void free_inside(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    seen->code = pp_pool_free(seen->pool);
}

static void wait_inside(pp_result *result, void *user)
{
    struct seen *seen = user;
    pp_result *other = pp_apply_async(seen->pool, PP_CALL(square, 3), .callback = add_up,
                                      .user = seen);
    long value = 0;

    (void)result;
    seen->code = pp_wait(other);
    CHECK_EQ(pp_apply(seen->pool, PP_CALL(square, 4), &value), 0);
    CHECK_EQ(value, 16);
}

TEST(what_could_never_end_inside)
{
    static pp_callback *const callbacks[] = { poll_inside, free_inside, wait_inside,
                                              join_inside };
    struct seen seen = { .pool = polled_pool(1) };

    for (size_t i = 0; i < 4; i++) {
        seen.code = 1;
        CHECK(pp_apply_async(seen.pool, PP_CALL(square, 2), .callback = callbacks[i],
                             .user = &seen));
        CHECK_SOON(pp_poll(seen.pool) >= 0 && seen.code != 1);
        CHECK_EQ(seen.code, -EDEADLK);
    }
    finish(seen.pool);
    CHECK_EQ(seen.calls, 1); /* of the other one, that was not waited for */
}

static void free_and_submit(pp_result *result, void *user)
{
    struct seen *seen = user;

    pp_result_free(result);
    if (++seen->calls < 500)
        CHECK(pp_apply_async(seen->pool, PP_CALL(square, 2), .callback = free_and_submit,
                             .user = seen));
}

TEST(submits_the_next_and_frees)
{
    struct seen seen = { .pool = polled_pool(1) };

    CHECK(pp_apply_async(seen.pool, PP_CALL(square, 2), .callback = free_and_submit,
                         .user = &seen));
    while (seen.calls < 500)
        CHECK(pp_poll(seen.pool) >= 0);
    finish(seen.pool);
}
