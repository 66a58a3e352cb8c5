/* SPDX-License-Identifier: MIT */
/* pp_apply_async(), and what can be asked of its result. */
#include <math.h>

#include "battery.h"

CASE(value_of_a_call)
{
    pp_pool *pool = new_pool(.processes = 2);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 7));

    for (int i = 0; i < 3; i++) {
        long value = 0;

        CHECK_EQ(pp_get(result, &value), 0);
        CHECK_EQ(value, 49);
    }
    CHECK(pp_ready(result));
    CHECK(pp_successful(result));
    CHECK(!pp_error_of(result));
    CHECK_EQ(pp_failures(result), 0);
    pp_result_free(result);
    finish(pool);
}

CASE(got_in_any_order)
{
    enum { CALLS = 1000 };
    pp_pool *pool = new_pool(.processes = 3);
    pp_result *results[CALLS];

    for (long i = 0; i < CALLS; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(square, i))) != NULL);
    for (long i = 0; i < CALLS; i++) {
        long n = i * 7 % CALLS, value = -1;

        CHECK_EQ(pp_get(results[n], &value), 0);
        CHECK_EQ(value, n * n);
        if (n % 2)
            pp_result_free(results[n]);
    }
    finish(pool);
}

/* What is known of a result that is not there yet. */
static void check_not_there(pp_result *result)
{
    long value = 42;

    CHECK(!pp_ready(result));
    CHECK(!pp_successful(result));
    CHECK(!pp_error_of(result));
    CHECK(!pp_failure(result, 0));
    CHECK_EQ(pp_failures(result), 0);
    CHECK_EQ(pp_wait(result, .timeout = 0.01), -ETIMEDOUT);
    CHECK_EQ(pp_wait(result, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(pp_get(result, &value, .timeout = 0.01), -ETIMEDOUT);
    CHECK_EQ(pp_get(result, &value, .timeout = -1), -ETIMEDOUT);
    CHECK_EQ(value, 42);
}

/* Inline it is there at once. */
CASE(not_ready_before_its_end)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 6));
    long value = 0;

    if (runs_later()) {
        check_not_there(result);
        CHECK_SOON(atomic_load(&gate->waiting) == 1);
        check_not_there(result);
        gate_open(gate);
    } else {
        CHECK(pp_ready(result));
    }
    CHECK_EQ(pp_wait(result, .timeout = 1000), 0);
    CHECK(pp_ready(result));
    CHECK(pp_successful(result));
    CHECK_EQ(pp_get(result, &value, .timeout = 0), 0);
    CHECK_EQ(value, 36);
    finish(pool);
}

/* A result gets ready without anybody waiting for it. */
CASE(ready_by_itself)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 4));
    long value = 0;

    CHECK_SOON(pp_ready(result));
    CHECK_EQ(pp_get(result, &value, .timeout = 0), 0);
    CHECK_EQ(value, 16);
    finish(pool);
}

CASE(bad_results_and_timeouts)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 4));

    CHECK_EQ(pp_get(NULL, NULL), -EINVAL);
    CHECK_EQ(pp_wait(NULL), -EINVAL);
    CHECK(!pp_ready(NULL));
    CHECK(!pp_successful(NULL));
    CHECK(!pp_error_of(NULL));
    CHECK_EQ(pp_failures(NULL), 0);
    CHECK(!pp_failure(NULL, 0));
    CHECK_EQ(pp_cancel(NULL), -EINVAL);
    pp_result_free(NULL);
    CHECK_EQ(pp_get(result, NULL, .timeout = NAN), -EINVAL);
    CHECK_EQ(pp_wait(result, .timeout = NAN), -EINVAL);
    CHECK_EQ(pp_get(result, NULL), 0);
    finish(pool);
}

/* The task runs on, and its value is dropped. */
CASE(freed_before_its_end)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);

    for (long i = 0; i < 10; i++)
        pp_result_free(pp_apply_async(pool, PP_CALL(wait_and_square, gate, i)));
    gate_open(gate);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(atomic_load(&gate->passed), 10);
    CHECK_EQ(pp_pool_free(pool), 0);
}

struct diary {
    atomic_int entries;
    int numbers[500];
};

static void enter(struct diary *diary, int number)
{
    diary->numbers[atomic_fetch_add(&diary->entries, 1)] = number;
}
PP_TASK(void, enter, struct diary *, diary, int, number);

CASE(start_in_the_order_of_submission)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct diary *diary = pp_shared_alloc(pool, sizeof *diary);

    for (int i = 0; i < 500; i++)
        CHECK(pp_apply_async(pool, PP_CALL(enter, diary, i)) != NULL);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(atomic_load(&diary->entries), 500);
    for (int i = 0; i < 500; i++)
        CHECK_EQ(diary->numbers[i], i);
    CHECK_EQ(pp_pool_free(pool), 0);
}

static const char *wait_and_join(struct gate *gate, const char *text, pp_bytes bytes)
{
    char *joined = pp_reserve(strlen(text) + bytes.size + 1);

    gate_wait(gate);
    snprintf(joined, strlen(text) + bytes.size + 1, "%s%.*s", text, (int)bytes.size,
             (const char *)bytes.data);
    return joined;
}
PP_TASK(const char *, wait_and_join, struct gate *, gate, const char *, text, pp_bytes, bytes);

CASE(arguments_are_copied)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    char text[] = "before", data[] = { ':', '-', ')' };
    pp_result *result = pp_apply_async(
        pool, PP_CALL(wait_and_join, gate, text, { .data = data, .size = sizeof data }));
    const char *joined = NULL;

    memset(text, 'X', sizeof text);
    memset(data, 'X', sizeof data);
    gate_open(gate);
    CHECK_EQ(pp_get(result, &joined), 0);
    CHECK_STR(joined, "before:-)");
    finish(pool);
}

/* Strings and bytes belong to the result. */
CASE(strings_are_handed_out_again)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_result *result = pp_apply_async(pool, PP_CALL(echo, "text"));
    pp_result *other = pp_apply_async(pool, PP_CALL(echo_bytes, { "a\0b", 3 }));
    const char *first = NULL, *second = NULL;
    pp_bytes bytes = { 0 };

    CHECK_EQ(pp_get(result, &first), 0);
    CHECK_EQ(pp_get(result, &second), 0);
    CHECK_EQ(first, second);
    CHECK_STR(first, "text");
    CHECK_EQ(pp_get(other, &bytes), 0);
    CHECK(bytes.size == 3 && memcmp(bytes.data, "a\0b", 3) == 0);
    pp_result_free(result);
    pp_result_free(other);
    finish(pool);
}

CASE(without_an_output)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 3));
    long value = 0;

    CHECK_EQ(pp_get(result, NULL), 0);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 9);
    finish(pool);
}

/* A worker that is held back does not hold others back. */
CASE(one_waits_others_run)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct gate *gate = gate_in(pool);
    pp_result *held = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 5));
    long value = 0;

    for (long i = 0; i < 300; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(square, i), &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_ready(held), !runs_later());
    gate_open(gate);
    CHECK_EQ(pp_get(held, &value), 0);
    CHECK_EQ(value, 25);
    finish(pool);
}

struct waiting {
    pp_result *result;
    atomic_int right;
};

static void *get_in_thread(void *arg)
{
    struct waiting *waiting = arg;
    long value = 0;

    if (pp_get(waiting->result, &value) == 0 && value == 81)
        atomic_fetch_add(&waiting->right, 1);
    return NULL;
}

CASE(several_threads_get_one_result)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    struct waiting waiting = { pp_apply_async(pool, PP_CALL(wait_and_square, gate, 9)), 0 };
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, get_in_thread, &waiting), 0);
    gate_open(gate);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(atomic_load(&waiting.right), 4);
    finish(pool);
}
