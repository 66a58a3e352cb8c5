/* SPDX-License-Identifier: MIT */
/* Several threads of the client use one pool, or several, at the same time. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

enum { THREADS = 8, ROUNDS = 40, COUNT = 500 };

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static const char *echo(const char *text)
{
    return text;
}
PP_TASK(const char *, echo, const char *, text);

static long fragile(long x)
{
    if (x % 50 == 7)
        pp_raise(7, "%ld", x);
    if (x % 500 == 8)
        raise(SIGKILL);
    return -x;
}
PP_TASK(long, fragile, long, x);

struct work {
    pp_pool *pool;
    long number;
    atomic_int callbacks;
};

static void run_threads(void *(*body)(void *), pp_pool *pool)
{
    pthread_t running[THREADS];
    struct work works[THREADS];

    for (long i = 0; i < THREADS; i++) {
        works[i] = (struct work){ .pool = pool, .number = i + 1 };
        CHECK_EQ(pthread_create(&running[i], NULL, body, &works[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(running[i], NULL), 0);
}

static void *apply(void *user)
{
    struct work *work = user;

    for (long i = 0; i < 500; i++) {
        long x = 1000 * work->number + i, value = 0;

        CHECK_EQ(pp_apply(work->pool, PP_CALL(square, x), &value), 0);
        CHECK_EQ(value, x * x);
    }
    return NULL;
}

TEST(all_apply, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    run_threads(apply, pool);
    finish(pool);
}

static void *map(void *user)
{
    struct work *work = user;
    long items[COUNT], out[COUNT];

    for (long round = 0; round < ROUNDS; round++) {
        for (long i = 0; i < COUNT; i++)
            items[i] = 1000000 * work->number + 1000 * round + i;
        CHECK_EQ(pp_map(work->pool, square, items, COUNT, out, .chunksize = round % 10), 0);
        for (long i = 0; i < COUNT; i++)
            CHECK_EQ(out[i], items[i] * items[i]);
    }
    return NULL;
}

TEST(all_map, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    run_threads(map, pool);
    finish(pool);
}

static void count(pp_result *result, void *user)
{
    struct work *work = user;

    (void)result;
    atomic_fetch_add(&work->callbacks, 1);
}

static void *async(void *user)
{
    struct work *work = user;
    pp_result *results[COUNT];

    for (long i = 0; i < COUNT; i++)
        CHECK((results[i] = pp_apply_async(work->pool, PP_CALL(square, work->number + i),
                                           .callback = i % 2 ? count : NULL,
                                           .user = work)) != NULL);
    for (long i = 0; i < COUNT; i++) {
        long value = 0;

        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, (work->number + i) * (work->number + i));
        pp_result_free(results[i]);
    }
    CHECK_EQ(atomic_load(&work->callbacks), COUNT / 2);
    return NULL;
}

TEST(all_submit_and_wait, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    run_threads(async, pool);
    finish(pool);
}

TEST(all_submit_and_wait_with_polled_callbacks, .timeout = 60)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL);

    CHECK(pool != NULL);
    run_threads(async, pool);
    finish(pool);
}

static void *strings(void *user)
{
    struct work *work = user;
    char text[300];

    for (long i = 0; i < 300; i++) {
        const char *lent = NULL;
        pp_result *result;

        memset(text, 'a' + (int)work->number, (size_t)i);
        text[i] = '\0';
        result = pp_apply_async(work->pool, PP_CALL(echo, text));
        CHECK_EQ(pp_get(result, &lent), 0);
        CHECK_STR(lent, text);
        pp_result_free(result);
    }
    return NULL;
}

static void *failing(void *user)
{
    struct work *work = user;
    long items[COUNT], out[COUNT];

    for (long i = 0; i < COUNT; i++)
        items[i] = i;
    for (int round = 0; round < 5; round++) {
        pp_result *result = pp_map_async(work->pool, fragile, items, COUNT);

        CHECK_EQ(pp_get(result, out), PP_ERAISED);
        CHECK_EQ(pp_failures(result), COUNT / 50 + COUNT / 500);
        for (long i = 0; i < COUNT; i++)
            if (i % 50 != 7 && i % 500 != 8)
                CHECK_EQ(out[i], -i);
        pp_result_free(result);
    }
    return NULL;
}

static void *mixed(void *user)
{
    static void *(*const bodies[])(void *) = { apply, map, async, strings, failing };
    struct work *work = user;

    return bodies[work->number % 5](user);
}

TEST(each_something_else, .timeout = 60)
{
    pp_pool *pool = pool_of(3);

    run_threads(mixed, pool);
    finish(pool);
}

/* Takes locks of the C library: those of the heap and of stdio. */
static long allocate(long x)
{
    for (size_t i = 1; i < 200; i++) {
        char *memory = malloc(i * 100);

        memset(memory, 1, i * 100);
        free(memory);
    }
    fflush(stdout);
    return x;
}
PP_TASK(long, allocate, long, x);

static void *own_pool(void *user)
{
    struct work *work = user;

    for (int i = 0; i < 10; i++) {
        long value = 0;

        if (work->number % 2) {
            pp_pool *pool = pool_of(1);

            CHECK_EQ(pp_apply(pool, PP_CALL(allocate, work->number), &value), 0);
            CHECK_EQ(value, work->number);
            finish(pool);
        } else {
            for (int j = 0; j < 100; j++)
                allocate(j);
        }
    }
    return NULL;
}

/* Pools are made while other threads are inside of malloc() and stdio. */
TEST(each_makes_pools, .timeout = 60)
{
    if (HARNESS_SANITIZED)
        SKIP("sanitizers do not support a fork of several threads");
    run_threads(own_pool, NULL);
}

static void *submit_until_refused(void *user)
{
    struct work *work = user;
    pp_result *result;

    while ((result = pp_apply_async(work->pool, PP_CALL(square, 1)))) {
        int error = pp_get(result, NULL);

        CHECK(error == 0 || error == PP_ECANCELLED);
        pp_result_free(result);
    }
    CHECK_EQ(errno, ESHUTDOWN);
    return NULL;
}

struct ender {
    pp_pool *pool;
    int (*end)(pp_pool *pool);
};

static void *end_later(void *user)
{
    struct ender *ender = user;

    for (int i = 0; i < 100; i++)
        harness_nap();
    CHECK_EQ(ender->end(ender->pool), 0);
    return NULL;
}

static void end_during_use(int (*end)(pp_pool *))
{
    struct ender ender = { pool_of(2), end };
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, end_later, &ender), 0);
    run_threads(submit_until_refused, ender.pool);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    finish(ender.pool);
}

TEST(closed_during_use)
{
    end_during_use(pp_close);
}

TEST(terminated_during_use)
{
    end_during_use(pp_terminate);
}

static void *join_it(void *user)
{
    struct work *work = user;

    CHECK_EQ(pp_join(work->pool), 0);
    return NULL;
}

TEST(all_join)
{
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < 1000; i++)
        CHECK(pp_apply_async(pool, PP_CALL(square, i)));
    CHECK_EQ(pp_close(pool), 0);
    run_threads(join_it, pool);
    finish(pool);
}
