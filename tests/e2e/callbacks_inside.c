/* SPDX-License-Identifier: MIT */
/* What callbacks may do: submit, get, free, terminate; and what could never end. */
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

static void submit_next(pp_result *result, void *user)
{
    struct seen *seen = user;
    long value = 0;

    CHECK_EQ(pp_get(result, &value), 0);
    if (atomic_fetch_add(&seen->calls, 1) == 999)
        gate_open(seen->gate);
    else
        CHECK(pp_apply_async(seen->pool, PP_CALL(square, value), .callback = submit_next,
                             .user = seen));
    pp_result_free(result);
}

TEST(submits_the_next)
{
    struct gate *gate = gate_new(); /* before the pool: its workers must see it */
    struct seen seen = { .pool = pool_of(2), .gate = gate };

    CHECK(pp_apply_async(seen.pool, PP_CALL(square, 1), .callback = submit_next,
                         .user = &seen));
    gate_wait(seen.gate);
    finish(seen.pool);
    CHECK_EQ(atomic_load(&seen.calls), 1000);
    gate_free(seen.gate);
}

static void submit_after_close(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    gate_wait(seen->gate);
    CHECK_NULL(pp_apply_async(seen->pool, PP_CALL(square, 1)), ESHUTDOWN);
    CHECK_EQ(pp_apply(seen->pool, PP_CALL(square, 1), NULL), -ESHUTDOWN);
    atomic_fetch_add(&seen->calls, 1);
}

TEST(submits_after_close)
{
    struct gate *gate = gate_new(); /* before the pool: its workers must see it */
    struct seen seen = { .pool = pool_of(1), .gate = gate };

    CHECK(pp_apply_async(seen.pool, PP_CALL(square, 1), .callback = submit_after_close,
                         .user = &seen));
    CHECK_EQ(pp_close(seen.pool), 0);
    gate_open(seen.gate);
    CHECK_EQ(pp_join(seen.pool), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(pp_pool_free(seen.pool), 0);
    gate_free(seen.gate);
}

static void free_it(pp_result *result, void *user)
{
    struct seen *seen = user;
    long value = 0;

    pp_result_free(result);
    CHECK_EQ(pp_get(result, &value), 0); /* it is freed when this returns */
    seen->sum += value;
}

TEST(frees_its_result)
{
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 1000; i++)
        CHECK(pp_apply_async(pool, PP_CALL(square, 2), .callback = free_it, .user = &seen));
    finish(pool);
    CHECK_EQ(seen.sum, 4000);
}

static void terminate_pool(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    atomic_store(&seen->code, pp_terminate(seen->pool));
    atomic_fetch_add(&seen->calls, 1);
}

TEST(terminates_the_pool)
{
    enum { TASKS = 100 };
    struct gate *gate = gate_new(); /* before the pool: its workers must see it */
    struct seen seen = { .pool = pool_of(1), .gate = gate, .code = 1 };
    pp_result *results[TASKS];

    CHECK(pp_apply_async(seen.pool, PP_CALL(square, 1), .callback = terminate_pool,
                         .user = &seen));
    /* The pool may be terminated before all of these are submitted. */
    for (int i = 0; i < TASKS; i++) {
        results[i] = pp_apply_async(seen.pool, PP_CALL(wait_and_square, seen.gate, 1),
                                    .callback = count, .error_callback = count_error,
                                    .user = &seen);
        if (!results[i])
            CHECK_EQ(errno, ESHUTDOWN);
    }
    for (int i = 0; i < TASKS; i++)
        if (results[i])
            CHECK_EQ(pp_get(results[i], NULL), PP_ECANCELLED);
    CHECK_EQ(pp_join(seen.pool), 0);
    CHECK_EQ(atomic_load(&seen.code), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(pp_pool_free(seen.pool), 0);
    gate_free(seen.gate);
}

/* Runs a callback in which this function is called, and gives what it stored. */
static int code_in_callback(struct seen *seen, pp_callback *callback)
{
    pp_result *result =
        pp_apply_async(seen->pool, PP_CALL(square, 5), .callback = callback, .user = seen);

    CHECK_EQ(pp_wait(result), 0);
    return atomic_load(&seen->code);
}

static void join_pool(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    CHECK_EQ(pp_close(seen->pool), 0);
    atomic_store(&seen->code, pp_join(seen->pool));
}

TEST(join_cannot_end)
{
    struct seen seen = { .pool = pool_of(1) };

    CHECK_EQ(code_in_callback(&seen, join_pool), -EDEADLK);
    finish(seen.pool);
}

static void free_pool(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    atomic_store(&seen->code, pp_pool_free(seen->pool));
}

/* ... and does nothing. */
TEST(free_of_the_pool_cannot_end)
{
    struct seen seen = { .pool = pool_of(1) };
    long value = 0;

    CHECK_EQ(code_in_callback(&seen, free_pool), -EDEADLK);
    CHECK_EQ(pp_apply(seen.pool, PP_CALL(square, 6), &value), 0);
    CHECK_EQ(value, 36);
    finish(seen.pool);
}

static void wait_for_callback(pp_result *result, void *user)
{
    struct seen *seen = user;
    pp_result *other = pp_apply_async(seen->pool, PP_CALL(square, 6), .callback = count,
                                      .user = seen);

    (void)result;
    atomic_store(&seen->code, pp_get(other, NULL));
    atomic_store(&seen->other, pp_wait(other, .timeout = 1000));
    seen->result = other;
}

/* The other callback cannot run before this one has returned. */
TEST(wait_for_another_callback_cannot_end)
{
    struct seen seen = { .pool = pool_of(1) };

    CHECK_EQ(code_in_callback(&seen, wait_for_callback), -EDEADLK);
    CHECK_EQ(atomic_load(&seen.other), -EDEADLK);
    CHECK_EQ(pp_wait(seen.result), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(pp_get(seen.result, NULL), 0);
    finish(seen.pool);
}

static void wait_for_others(pp_result *result, void *user)
{
    struct seen *seen = user;
    long value = 0, items[] = { 1, 2, 3 }, out[3] = { 0 };

    (void)result;
    CHECK_EQ(pp_get(pp_apply_async(seen->pool, PP_CALL(square, 6)), &value), 0);
    CHECK_EQ(value, 36);
    CHECK_EQ(pp_apply(seen->pool, PP_CALL(square, 7), &value), 0);
    CHECK_EQ(value, 49);
    CHECK_EQ(pp_map(seen->pool, square, items, 3, out), 0);
    CHECK_EQ(out[2], 9);
    CHECK_EQ(pp_get(seen->result, &value), 0);
    CHECK_EQ(value, 64);
    atomic_store(&seen->code, 42);
}

/* What has no callback still to run can be waited for. */
TEST(wait_for_results_without_callback)
{
    struct seen seen = { .pool = pool_of(1) };

    seen.result =
        pp_apply_async(seen.pool, PP_CALL(square, 8), .callback = count, .user = &seen);
    CHECK_EQ(pp_wait(seen.result), 0);
    CHECK_EQ(code_in_callback(&seen, wait_for_others), 42);
    finish(seen.pool);
}
