/* SPDX-License-Identifier: MIT */
/* pp_apply_async(): submitting, and when and where tasks run. */
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

/* Which of all calls this is. */
static int take_turn(atomic_int *counter)
{
    return atomic_fetch_add(counter, 1);
}
PP_TASK(int, take_turn, atomic_int *, counter);

static size_t length(const char *text)
{
    return strlen(text);
}
PP_TASK(size_t, length, const char *, text);

static pid_t meet(struct gate *gate, int how_many)
{
    atomic_fetch_add(&gate->waiting, 1);
    while (atomic_load(&gate->waiting) < how_many)
        usleep(100);
    return getpid();
}
PP_TASK(pid_t, meet, struct gate *, gate, int, how_many);

struct point {
    double x, y;
};

static double sum(struct point point)
{
    return point.x + point.y;
}
PP_TASK(double, sum, struct point, point);

TEST(returns_at_once)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 4));
    long value = 0;

    CHECK(result != NULL);
    CHECK(!pp_ready(result));
    gate_open(gate);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 16);
    CHECK(pp_ready(result));
    CHECK_EQ(atomic_load(&gate->passed), 1);
    finish(pool);
    gate_free(gate);
}

TEST(arguments_are_copied)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *first = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1));
    struct point point = { 1, 2 };
    char *text = strdup("twelve chars");
    pp_result *second = pp_apply_async(pool, PP_CALL(sum, point));
    pp_result *third = pp_apply_async(pool, PP_CALL(length, text));
    double value = 0;
    size_t size = 0;

    point.x = 100;
    memset(text, 'x', 3);
    text[3] = '\0';
    free(text);
    gate_open(gate);
    CHECK_EQ(pp_get(second, &value), 0);
    CHECK_EQ(value, 3);
    CHECK_EQ(pp_get(third, &size), 0);
    CHECK_EQ(size, 12);
    CHECK_EQ(pp_get(first, NULL), 0);
    finish(pool);
    gate_free(gate);
}

TEST(workers_run_at_the_same_time)
{
    enum { WORKERS = 4 };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(WORKERS);
    pp_result *results[WORKERS];
    pid_t pids[WORKERS];

    for (int i = 0; i < WORKERS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(meet, gate, WORKERS));
    for (int i = 0; i < WORKERS; i++) {
        CHECK_EQ(pp_get(results[i], &pids[i]), 0);
        for (int j = 0; j < i; j++)
            CHECK(pids[i] != pids[j]);
    }
    finish(pool);
    gate_free(gate);
}

TEST(no_more_workers_than_asked_for)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *results[6];

    for (int i = 0; i < 6; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_and_square, gate, i));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_EQ(pp_wait(results[5], .timeout = 0.2), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&gate->waiting), 2);
    gate_open(gate);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(pp_get(results[i], NULL), 0);
    finish(pool);
    gate_free(gate);
}

/* A single worker runs them in the order in which they were submitted, also when
   there are more than the queue holds. */
TEST(start_in_order, .timeout = 60)
{
    enum { TASKS = 30000 };
    atomic_int *counter = shared_new(sizeof *counter);
    pp_result **results = calloc(TASKS, sizeof *results);
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < TASKS; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(take_turn, counter))) != NULL);
    for (int i = 0; i < TASKS; i++) {
        int turn = -1;

        CHECK_EQ(pp_get(results[i], &turn), 0);
        CHECK_EQ(turn, i);
    }
    finish(pool);
    free(results);
    shared_free(counter, sizeof *counter);
}

TEST(results_in_any_order)
{
    enum { TASKS = 5000 };
    static pp_result *results[TASKS];
    pp_pool *pool = pool_of(2);
    long value = 0;

    for (long i = 0; i < TASKS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(square, i));
    for (long i = TASKS - 1; i >= 0; i--) {
        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, i * i);
    }
    finish(pool);
}

TEST(two_hundred_thousand, .timeout = 120)
{
    enum { TASKS = 200000 };
    pp_result **results = calloc(TASKS, sizeof *results);
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < TASKS; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(square, i))) != NULL);
    for (long i = 0; i < TASKS; i++) {
        long value = -1;

        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, i * i);
        pp_result_free(results[i]);
    }
    finish(pool);
    free(results);
}

/* Much more than fits into the queue while nothing can be taken from it. */
TEST(backlog_of_strings, .timeout = 60)
{
    enum { TASKS = 20000 };
    struct gate *gate = gate_new();
    pp_result **results = calloc(TASKS, sizeof *results);
    pp_pool *pool = pool_of(1);
    char text[1000];

    CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1)) != NULL);
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < TASKS; i++) {
        text[i % 999] = '\0';
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(length, text))) != NULL);
        text[i % 999] = 'x';
        text[999] = '\0';
    }
    gate_open(gate);
    for (size_t i = 0; i < TASKS; i++) {
        size_t size = 0;

        CHECK_EQ(pp_get(results[i], &size), 0);
        CHECK_EQ(size, i % 999);
    }
    finish(pool);
    free(results);
    gate_free(gate);
}

/* What waits in the client goes on when the client does nothing but join. */
TEST(backlog_is_run_by_join, .timeout = 60)
{
    enum { TASKS = 50000 };
    atomic_int *counter = shared_new(sizeof *counter);
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < TASKS; i++)
        CHECK(pp_apply_async(pool, PP_CALL(take_turn, counter)) != NULL);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(atomic_load(counter), TASKS);
    CHECK_EQ(pp_pool_free(pool), 0);
    shared_free(counter, sizeof *counter);
}

TEST(backlog_is_run_while_the_client_does_nothing, .timeout = 60)
{
    enum { TASKS = 50000 };
    atomic_int *counter = shared_new(sizeof *counter);
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < TASKS; i++)
        CHECK(pp_apply_async(pool, PP_CALL(take_turn, counter)) != NULL);
    CHECK_SOON(atomic_load(counter) == TASKS);
    finish(pool);
    shared_free(counter, sizeof *counter);
}

TEST(results_after_join)
{
    enum { TASKS = 100 };
    pp_result *results[TASKS];
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < TASKS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(square, i));
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(processes(), 0);
    for (long i = 0; i < TASKS; i++) {
        long value = -1;

        CHECK(pp_ready(results[i]));
        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(without_options)
{
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async_with(pool, PP_CALL(square, 6).call, NULL);
    long value = 0;

    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 36);
    finish(pool);
}
