/* SPDX-License-Identifier: MIT */
/* Callbacks on the library's thread: once, before the result is ready, one at a time. */
#include "battery.h"

/* What the callbacks of a test have seen, and what they are to do. */
struct seen {
    atomic_int calls, errors, inside;
    long sum;       /* of one callback at a time: no lock */
    int code, other; /* what calls inside of a callback returned */
    pp_pool *pool;
    pp_result *result;
    struct gate *gate;
};

static void count(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add(&((struct seen *)user)->calls, 1);
}

static void count_error(pp_result *result, void *user)
{
    struct seen *seen = user;

    seen->code = pp_get(result, NULL);
    atomic_fetch_add(&seen->errors, 1);
}

static void add_up(pp_result *result, void *user)
{
    struct seen *seen = user;
    long value = 0;

    CHECK_EQ(atomic_fetch_add(&seen->inside, 1), 0);
    CHECK(pp_ready(result));
    CHECK_EQ(pp_get(result, &value), 0);
    seen->sum += value;
    atomic_fetch_add(&seen->calls, 1);
    atomic_fetch_sub(&seen->inside, 1);
}

CASE(called_once_with_the_result)
{
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 2);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 5), .callback = add_up,
                                       .error_callback = count_error, .user = &seen);

    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(atomic_load(&seen.errors), 0);
    CHECK_EQ(seen.sum, 25);
}

CASE(error_callback_for_what_failed)
{
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 2);
    pp_result *result = pp_apply_async(pool, PP_CALL(raise_code, 5), .callback = count,
                                       .error_callback = count_error, .user = &seen);

    CHECK_EQ(pp_get(result, NULL), PP_ERAISED);
    CHECK_EQ(atomic_load(&seen.errors), 1);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.errors), 1);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    CHECK_EQ(seen.code, PP_ERAISED);
}

/* Each may be there without the other. */
CASE(only_one_of_both)
{
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 1);

    CHECK(pp_apply_async(pool, PP_CALL(raise_code, 5), .callback = count, .user = &seen));
    CHECK(pp_apply_async(pool, PP_CALL(raise_code, 0), .error_callback = count_error,
                         .user = &seen));
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    CHECK_EQ(atomic_load(&seen.errors), 0);
}

CASE(one_at_a_time)
{
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 3);

    for (int i = 0; i < 2000; i++)
        CHECK(pp_apply_async(pool, PP_CALL(square, 2), .callback = add_up, .user = &seen));
    finish(pool); /* joining waits for them */
    CHECK_EQ(atomic_load(&seen.calls), 2000);
    CHECK_EQ(seen.sum, 8000);
}

struct sequence {
    long next;
    bool wrong;
};

static void follow(pp_result *result, void *user)
{
    struct sequence *sequence = user;
    long value = 0;

    pp_get(result, &value);
    if (value != sequence->next * sequence->next)
        sequence->wrong = true;
    sequence->next++;
}

/* Of what one worker does one after the other. */
CASE(in_the_order_of_the_ends)
{
    struct sequence sequence = { 0 };
    pp_pool *pool = new_pool(.processes = 1);

    for (long i = 0; i < 300; i++)
        CHECK(pp_apply_async(pool, PP_CALL(square, i), .callback = follow, .user = &sequence));
    finish(pool);
    CHECK_EQ(sequence.next, 300);
    CHECK(!sequence.wrong);
}

static void wait_at_gate(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    gate_wait(seen->gate);
    atomic_fetch_add(&seen->calls, 1);
}

CASE(not_ready_before_its_callback_returns)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct seen seen = { .gate = gate_in(pool) };
    pp_result *result =
        pp_apply_async(pool, PP_CALL(square, 5), .callback = wait_at_gate, .user = &seen);

    CHECK_SOON(atomic_load(&seen.gate->waiting) == 1);
    CHECK(!pp_ready(result));
    CHECK(!pp_successful(result));
    CHECK_EQ(pp_wait(result, .timeout = 0.01), -ETIMEDOUT);
    CHECK_EQ(pp_get(result, NULL, .timeout = 0), -ETIMEDOUT);
    gate_open(seen.gate);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    finish(pool);
}

CASE(over_when_the_result_is_got)
{
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 2);

    for (int i = 1; i <= 500; i++) {
        pp_result *result =
            pp_apply_async(pool, PP_CALL(square, i), .callback = count, .user = &seen);

        CHECK_EQ(pp_get(result, NULL), 0);
        CHECK_EQ(atomic_load(&seen.calls), i);
        pp_result_free(result);
    }
    finish(pool);
}

CASE(callback_of_a_map)
{
    long items[100];
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 2);
    pp_result *result;

    for (long i = 0; i < 100; i++)
        items[i] = i;
    result = pp_map_async(pool, square, items, 100, .chunksize = 3, .callback = count,
                          .error_callback = count_error, .user = &seen);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    result = pp_map_async(pool, square, items, 0, .callback = count, .user = &seen);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&seen.calls), 2);
    CHECK_EQ(atomic_load(&seen.errors), 0);
    finish(pool);
}

/* Once for the whole map, however many fail. */
CASE(error_callback_of_a_map)
{
    int codes[20] = { [3] = 3, [4] = 4, [19] = 19 };
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 2);
    pp_result *result = pp_map_async(pool, raise_code, codes, 20, .callback = count,
                                     .error_callback = count_error, .user = &seen);

    CHECK_EQ(pp_get(result, NULL), PP_ERAISED);
    CHECK_EQ(pp_failures(result), 3);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    CHECK_EQ(atomic_load(&seen.errors), 1);
    CHECK_EQ(seen.code, PP_ERAISED);
}

/* ---- What callbacks may do ---- */

static void submit_more(pp_result *result, void *user)
{
    struct seen *seen = user;
    long value = 0;

    (void)result;
    CHECK_EQ(pp_apply(seen->pool, PP_CALL(square, 8), &value), 0);
    seen->sum += value;
    CHECK(pp_apply_async(seen->pool, PP_CALL(square, 9), .callback = add_up, .user = seen));
}

CASE(callback_submits)
{
    struct seen seen = { .pool = new_pool(.processes = 1) };
    pp_result *result =
        pp_apply_async(seen.pool, PP_CALL(square, 1), .callback = submit_more, .user = &seen);

    CHECK_EQ(pp_wait(result), 0);
    finish(seen.pool);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(seen.sum, 64 + 81);
}

static void free_result(pp_result *result, void *user)
{
    long value = 0;

    pp_result_free(result);
    CHECK_EQ(pp_get(result, &value), 0); /* freed when this returns */
    ((struct seen *)user)->sum += value;
    atomic_fetch_add(&((struct seen *)user)->calls, 1);
}

CASE(callback_frees_its_result)
{
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 2);

    for (int i = 0; i < 200; i++)
        CHECK(
            pp_apply_async(pool, PP_CALL(square, 3), .callback = free_result, .user = &seen));
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 200);
    CHECK_EQ(seen.sum, 1800);
}

static void wait_for_nothing(pp_result *result, void *user)
{
    struct seen *seen = user;
    pp_result *later =
        pp_apply_async(seen->pool, PP_CALL(square, 2), .callback = count, .user = seen);

    (void)result;
    CHECK(later != NULL);
    seen->code = pp_get(later, NULL);
    seen->other = pp_wait(later, .timeout = 1000);
    CHECK_EQ(pp_close(seen->pool), 0);
    CHECK_EQ(pp_join(seen->pool), -EDEADLK);
    CHECK_EQ(pp_pool_free(seen->pool), -EDEADLK);
}

/* Waiting for another callback, or for the pool, would never end. */
CASE(callback_waits_in_vain)
{
    struct seen seen = { .pool = new_pool(.processes = 1) };

    CHECK(pp_apply_async(seen.pool, PP_CALL(square, 1), .callback = wait_for_nothing,
                         .user = &seen));
    CHECK_SOON(atomic_load(&seen.calls) == 1);
    finish(seen.pool);
    CHECK_EQ(seen.code, -EDEADLK);
    CHECK_EQ(seen.other, -EDEADLK);
}

static void terminate(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    CHECK_EQ(pp_terminate(seen->pool), 0);
    atomic_fetch_add(&seen->calls, 1);
}

CASE(callback_terminates)
{
    struct seen seen = { .pool = new_pool(.processes = 1) };
    pp_result *result =
        pp_apply_async(seen.pool, PP_CALL(square, 1), .callback = terminate, .user = &seen);

    CHECK_EQ(pp_get(result, NULL), 0);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(pp_apply(seen.pool, PP_CALL(square, 1), NULL), -ESHUTDOWN);
    CHECK_EQ(pp_join(seen.pool), 0);
    CHECK_EQ(pp_pool_free(seen.pool), 0);
}

static void cancel_other(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    seen->code = pp_cancel(seen->result);
    gate_open(seen->gate);
}

/* What it cancels waits behind a call that ends after that. */
CASE(callback_cancels)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct seen seen = { .gate = gate_in(pool) };
    struct gate *first = gate_in(pool);
    pp_result *held;

    CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, first, 1), .callback = cancel_other,
                         .user = &seen));
    held = pp_apply_async(pool, PP_CALL(wait_and_square, seen.gate, 1));
    seen.result = pp_apply_async(pool, PP_CALL(square, 1));
    gate_open(first);
    CHECK_EQ(pp_get(held, NULL), 0);
    CHECK_EQ(pp_get(seen.result, NULL), PP_ECANCELLED);
    finish(pool);
    CHECK_EQ(seen.code, 0);
}

/* ---- And when they are not called ---- */

CASE(not_called_for_what_is_freed)
{
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);

    for (int i = 0; i < 10; i++)
        pp_result_free(pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1),
                                      .callback = count, .user = &seen));
    gate_open(gate);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 0);
}

CASE(not_called_when_not_submitted)
{
    struct seen seen = { 0 };
    pp_pool *pool = new_pool(.processes = 1);

    CHECK_EQ(pp_close(pool), 0);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(square, 1), .callback = count,
                              .error_callback = count_error, .user = &seen),
               ESHUTDOWN);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    CHECK_EQ(atomic_load(&seen.errors), 0);
}
