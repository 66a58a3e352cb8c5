/* SPDX-License-Identifier: MIT */
/* The handle of a call or map: getting, waiting, asking, failures, freeing. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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
    if (x % 3 == 1)
        pp_raise(x, "raised %d", x);
    if (x % 3 == 2)
        raise(SIGKILL);
    return x;
}
PP_TASK(int, fragile, int, x);

static const char *text_of(int x)
{
    static char text[32];

    snprintf(text, sizeof text, "text %d", x);
    return text;
}
PP_TASK(const char *, text_of, int, x);

static pp_bytes bytes_of(size_t size)
{
    char *data = pp_reserve(size);

    memset(data, (int)size, size);
    return (pp_bytes){ data, size };
}
PP_TASK(pp_bytes, bytes_of, size_t, size);

TEST(get_again_and_again)
{
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 3));

    for (int i = 0; i < 5; i++) {
        long value = 0;

        CHECK_EQ(pp_get(result, &value), 0);
        CHECK_EQ(value, 9);
        CHECK_EQ(pp_get(result, NULL), 0);
    }
    finish(pool);
}

TEST(get_times_out)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    double start = harness_now();
    long value = 42;

    CHECK_EQ(pp_get(result, &value, .timeout = 0.05), -ETIMEDOUT);
    CHECK(harness_now() - start >= 0.05);
    CHECK_EQ(pp_get(result, &value, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(pp_get(result, &value, .timeout = -1), -ETIMEDOUT);
    CHECK_EQ(pp_get(result, &value, .timeout = -INFINITY), -ETIMEDOUT);
    CHECK_EQ(value, 42);
    gate_open(gate);
    CHECK_EQ(pp_get(result, &value, .timeout = 1e300), 0);
    CHECK_EQ(value, 9);
    CHECK_EQ(atomic_load(&gate->passed), 1);
    finish(pool);
    gate_free(gate);
}

TEST(wait_times_out)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    double start = harness_now();

    CHECK_EQ(pp_wait(result, .timeout = 0.05), -ETIMEDOUT);
    CHECK(harness_now() - start >= 0.05);
    CHECK_EQ(pp_wait(result, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(pp_wait(result, .timeout = -1), -ETIMEDOUT);
    gate_open(gate);
    CHECK_EQ(pp_wait(result, .timeout = INFINITY), 0);
    CHECK_EQ(pp_wait(result, .timeout = 0), 0);
    finish(pool);
    gate_free(gate);
}

/* Being there is enough: no timeout is too short for it. */
TEST(get_without_waiting)
{
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 3));
    long value = 0;

    CHECK_SOON(pp_ready(result));
    CHECK_EQ(pp_get(result, &value, .timeout = 0), 0);
    CHECK_EQ(value, 9);
    finish(pool);
}

TEST(timeout_is_a_number)
{
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 3));

    CHECK_EQ(pp_get(result, NULL, .timeout = NAN), -EINVAL);
    CHECK_EQ(pp_wait(result, .timeout = NAN), -EINVAL);
    CHECK_EQ(pp_wait(result), 0);
    finish(pool);
}

TEST(ready_and_successful)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));

    CHECK(!pp_ready(result));
    CHECK(!pp_successful(result));
    CHECK_EQ(pp_error_of(result), NULL);
    CHECK_EQ(pp_failures(result), 0);
    CHECK_EQ(pp_failure(result, 0), NULL);
    gate_open(gate);
    CHECK_EQ(pp_wait(result), 0);
    CHECK(pp_ready(result));
    CHECK(pp_successful(result));
    CHECK_EQ(pp_error_of(result), NULL);
    CHECK_EQ(pp_failures(result), 0);
    CHECK_EQ(pp_failure(result, 0), NULL);
    finish(pool);
    gate_free(gate);
}

/* Asking takes in what the workers have done: no other call is needed. */
TEST(becomes_ready_by_asking)
{
    pp_pool *pool = pool_of(2);
    long items[1000] = { 0 };
    pp_result *call = pp_apply_async(pool, PP_CALL(square, 3));
    pp_result *map = pp_map_async(pool, square, items, 1000);

    CHECK_SOON(pp_ready(call));
    CHECK_SOON(pp_successful(map));
    finish(pool);
}

TEST(becomes_ready_by_asking_when_polled)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL);
    long items[1000] = { 0 };
    pp_result *call = pp_apply_async(pool, PP_CALL(square, 3));
    pp_result *map = pp_map_async(pool, square, items, 1000, .chunksize = 1);

    CHECK_SOON(pp_ready(call));
    CHECK_SOON(pp_ready(map));
    finish(pool);
}

TEST(failed_call)
{
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(fragile, 4));
    const pp_error *error;
    int value = 42;

    CHECK_EQ(pp_get(result, &value), PP_ERAISED);
    CHECK_EQ(value, 42);
    CHECK(pp_ready(result));
    CHECK(!pp_successful(result));
    CHECK_EQ(pp_failures(result), 1);
    error = pp_error_of(result);
    CHECK(error != NULL);
    CHECK_EQ(error->size, sizeof *error);
    CHECK_EQ(error->kind, PP_RAISED);
    CHECK_EQ(error->code, 4);
    CHECK_EQ(error->index, 0);
    CHECK(error->pid > 0 && error->pid != getpid());
    CHECK_STR(error->function, "fragile");
    CHECK_STR(error->message, "raised 4");
    CHECK_STR(pp_failure(result, 0)->message, "raised 4");
    CHECK_EQ(pp_failure(result, 1), NULL);
    CHECK_EQ(pp_get(result, &value), PP_ERAISED);
    CHECK_EQ(pp_wait(result), 0);
    finish(pool);
}

static void check_failure(const pp_error *error, size_t index)
{
    char message[32];

    CHECK_EQ(error->index, index);
    CHECK_STR(error->function, "fragile");
    if (index % 3 == 1) {
        snprintf(message, sizeof message, "raised %zu", index);
        CHECK_EQ(error->kind, PP_RAISED);
        CHECK_EQ(error->code, (int)index);
        CHECK_STR(error->message, message);
    } else {
        CHECK_EQ(error->kind, PP_CRASHED);
        CHECK_EQ(error->signal, SIGKILL);
        CHECK(*error->message);
    }
}

TEST(failed_items_in_order)
{
    enum { COUNT = 60 };
    int items[COUNT], out[COUNT];
    pp_pool *pool = pool_of(2);
    pp_result *result;

    for (int i = 0; i < COUNT; i++) {
        items[i] = i;
        out[i] = -1;
    }
    result = pp_map_async(pool, fragile, items, COUNT, .chunksize = 7);
    CHECK_EQ(pp_get(result, out), PP_ERAISED);
    CHECK(!pp_successful(result));
    CHECK_EQ(pp_failures(result), 40);
    for (size_t i = 0; i < 40; i++)
        check_failure(pp_failure(result, i), i / 2 * 3 + i % 2 + 1);
    CHECK_EQ(pp_failure(result, 40), NULL);
    CHECK_EQ(pp_failure(result, (size_t)-1), NULL);
    check_failure(pp_error_of(result), 1);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(out[i], i % 3 ? -1 : i);
    finish(pool);
}

TEST(without_result)
{
    pp_result_free(NULL);
    CHECK_EQ(pp_get(NULL, NULL), -EINVAL);
    CHECK_EQ(pp_wait(NULL), -EINVAL);
    CHECK(!pp_ready(NULL));
    CHECK(!pp_successful(NULL));
    CHECK_EQ(pp_error_of(NULL), NULL);
    CHECK_EQ(pp_failures(NULL), 0);
    CHECK_EQ(pp_failure(NULL, 0), NULL);
}

/* What pp_get() hands out stays where it is until the result is freed. */
TEST(pointers_belong_to_the_result)
{
    pp_pool *pool = pool_of(2);
    pp_result *one = pp_apply_async(pool, PP_CALL(text_of, 1));
    pp_result *two = pp_apply_async(pool, PP_CALL(text_of, 2));
    const char *text = NULL, *other = NULL, *again = NULL;

    CHECK_EQ(pp_get(one, &text), 0);
    CHECK_EQ(pp_get(two, &other), 0);
    pp_result_free(two);
    for (int i = 0; i < 1000; i++)
        pp_result_free(pp_apply_async(pool, PP_CALL(text_of, i)));
    CHECK_EQ(pp_get(one, &again), 0);
    CHECK_STR(text, "text 1");
    CHECK_STR(again, "text 1");
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_STR(text, "text 1");
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(pointers_of_a_map)
{
    enum { COUNT = 300 };
    size_t sizes[COUNT];
    static pp_bytes out[COUNT];
    pp_pool *pool = pool_of(2);
    pp_result *result;

    for (size_t i = 0; i < COUNT; i++)
        sizes[i] = i * 37;
    result = pp_map_async(pool, bytes_of, sizes, COUNT);
    CHECK_EQ(pp_get(result, out), 0);
    for (size_t i = 0; i < COUNT; i++) {
        const unsigned char *data = out[i].data;

        CHECK_EQ(out[i].size, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            CHECK_EQ(data[j], (unsigned char)sizes[i]);
    }
    finish(pool);
}

/* Its task runs on, and its value is dropped. */
TEST(freed_early)
{
    enum { TASKS = 100 };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < TASKS; i++)
        pp_result_free(pp_apply_async(pool, PP_CALL(wait_and_square, gate, i)));
    gate_open(gate);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(atomic_load(&gate->passed), TASKS);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(map_freed_early)
{
    enum { COUNT = 1000 };
    int items[COUNT];
    pp_pool *pool = pool_of(2);
    const char *text;

    for (int i = 0; i < COUNT; i++)
        items[i] = i;
    for (int i = 0; i < 20; i++)
        pp_result_free(pp_map_async(pool, text_of, items, COUNT));
    CHECK_EQ(pp_apply(pool, PP_CALL(text_of, 5), &text), 0);
    CHECK_STR(text, "text 5");
    free((void *)text);
    finish(pool);
}

TEST(freed_and_forgotten_by_the_pool, .timeout = 60)
{
    pp_pool *pool = pool_of(2);
    long value;

    for (long i = 0; i < 50000; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(square, i));

        if (i % 3 == 0)
            CHECK_EQ(pp_get(result, &value), 0);
        pp_result_free(result);
    }
    finish(pool);
}

struct waiter {
    pp_result *result;
    long value;
};

static void *get_it(void *user)
{
    struct waiter *waiter = user;

    CHECK_EQ(pp_get(waiter->result, &waiter->value), 0);
    return NULL;
}

TEST(several_wait_for_one)
{
    enum { WAITERS = 5 };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    struct waiter waiters[WAITERS];
    pthread_t waiting[WAITERS];

    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){ .result = result };
        CHECK_EQ(pthread_create(&waiting[i], NULL, get_it, &waiters[i]), 0);
    }
    CHECK_EQ(pp_wait(result, .timeout = 0.05), -ETIMEDOUT);
    gate_open(gate);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(pthread_join(waiting[i], NULL), 0);
        CHECK_EQ(waiters[i].value, 9);
    }
    finish(pool);
    gate_free(gate);
}

TEST(cancelled_by_terminate)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *done = pp_apply_async(pool, PP_CALL(square, 5));
    pp_result *running = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1));
    pp_result *queued = pp_apply_async(pool, PP_CALL(square, 6));
    long value = 42;

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_get(done, &value), 0);
    CHECK_EQ(value, 25);
    CHECK_EQ(pp_get(running, &value), PP_ECANCELLED);
    CHECK_EQ(pp_get(queued, &value), PP_ECANCELLED);
    CHECK_EQ(value, 25);
    CHECK_EQ(pp_error_of(running)->kind, PP_CANCELLED);
    CHECK_EQ(pp_error_of(queued)->kind, PP_CANCELLED);
    CHECK_EQ(pp_error_of(queued)->pid, 0);
    CHECK_STR(pp_error_of(queued)->function, "square");
    CHECK(*pp_error_of(queued)->message);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}
