/* SPDX-License-Identifier: MIT */
/*
 * A thread that waits is woken for what it waits for, also when the worker that has done it
 * goes on to a task that lasts.  Tasks that last do so until their pool is terminated: what
 * fails here fails by the time limit.
 */
#include <pthread.h>
#include <unistd.h>

#include "support.h"

/* As long as it takes for a thread that has been started to wait. */
enum { WHILE_MS = 100 };

static long last(long x)
{
    for (;;)
        pause();
    return x;
}
PP_TASK(long, last, long, x);

static long take(long ms)
{
    usleep((useconds_t)ms * 1000);
    return ms;
}
PP_TASK(long, take, long, ms);

static void start_thread(pthread_t *thread, void *(*body)(void *), void *what)
{
    CHECK_EQ(pthread_create(thread, NULL, body, what), 0);
    usleep(WHILE_MS * 1000);
}

static void *get(void *result)
{
    long value = 0;

    CHECK_EQ(pp_get(result, &value), 0);
    return NULL;
}

static void *get_cancelled(void *result)
{
    long value = 0;

    CHECK_EQ(pp_get(result, &value), PP_ECANCELLED);
    return NULL;
}

static void *get_map(void *result)
{
    long values[4];

    CHECK_EQ(pp_get(result, values), 0);
    return NULL;
}

/* A call that lasts, and is ended by the end of its pool. */
static void submit_last(pp_pool *pool)
{
    pp_result *result = pp_apply_async(pool, PP_CALL(last, 1));

    CHECK(result != NULL);
    pp_result_free(result);
}

TEST(a_call_before_one_that_lasts, .timeout = 30)
{
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 1);
    pp_result *result = pp_apply_async(pool, PP_CALL(take, 2 * WHILE_MS));

    submit_last(pool);
    get(result);
    pp_result_free(result);
}

TEST(a_map_before_a_call_that_lasts, .timeout = 30)
{
    const long items[4] = { WHILE_MS, WHILE_MS, WHILE_MS, WHILE_MS };
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 1);
    pp_result *result = pp_map_async(pool, take, items, 4, .chunksize = 1);

    submit_last(pool);
    get_map(result);
    pp_result_free(result);
}

TEST(a_map_before_a_call_that_another_thread_submits, .timeout = 30)
{
    const long items[4] = { 2 * WHILE_MS, WHILE_MS, WHILE_MS, WHILE_MS };
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 1);
    pp_result *result = pp_map_async(pool, take, items, 4, .chunksize = 1);
    pthread_t thread;

    start_thread(&thread, get_map, result); /* waits for the map, with which it is alone */
    submit_last(pool);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    pp_result_free(result);
}

TEST(two_threads_wait_for_calls, .timeout = 30)
{
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 2);
    pp_result *later = pp_apply_async(pool, PP_CALL(last, 1));
    pp_result *sooner = pp_apply_async(pool, PP_CALL(take, 3 * WHILE_MS));
    pthread_t one, other;

    submit_last(pool);
    start_thread(&one, get_cancelled, later); /* leads, and wants the one that lasts */
    start_thread(&other, get, sooner);
    CHECK_EQ(pthread_join(other, NULL), 0);
    CHECK_EQ(pp_cancel(later), 0);
    CHECK_EQ(pthread_join(one, NULL), 0);
    pp_result_free(later);
    pp_result_free(sooner);
}

TEST(the_first_of_two_threads_leaves, .timeout = 30)
{
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 1);
    pp_result *first = pp_apply_async(pool, PP_CALL(take, 3 * WHILE_MS));
    pp_result *second = pp_apply_async(pool, PP_CALL(take, WHILE_MS));
    pthread_t one, other;

    submit_last(pool);
    start_thread(&one, get, first);
    start_thread(&other, get, second);
    CHECK_EQ(pthread_join(one, NULL), 0);
    CHECK_EQ(pthread_join(other, NULL), 0);
    pp_result_free(first);
    pp_result_free(second);
}

TEST(more_in_the_backlog_than_slots, .timeout = 120)
{
    enum { CALLS = 10000 };
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 2);
    pp_result *results[CALLS];

    for (long i = 0; i < CALLS; i++) {
        results[i] = pp_apply_async(pool, PP_CALL(take, 0));
        CHECK(results[i] != NULL);
    }
    get(results[CALLS / 2]);
    get(results[CALLS - 1]);
    for (long i = 0; i < CALLS; i++)
        pp_result_free(results[i]);
}
