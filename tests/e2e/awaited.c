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

/* ---- A leader that leaves although it was not woken ---- */

/* Two threads that begin a round at the same time. */
static struct pair {
    pthread_barrier_t begin, end;
    pp_result *waited_for; /* NULL: there are no more rounds */
} pair;

static void *wait_each_round(void *unused)
{
    for (;;) {
        pthread_barrier_wait(&pair.begin);
        if (!pair.waited_for)
            return unused;
        pp_wait(pair.waited_for);
        pthread_barrier_wait(&pair.end);
    }
}

/*
 * What a thread waits for, still awake, is cancelled by another one, which then waits itself:
 * it must not be left behind as one that follows nobody.
 */
TEST(the_result_of_a_thread_that_is_awake_is_cancelled, .timeout = 120)
{
    pp_pool *pool = pool_of(1);
    pthread_t thread;

    CHECK_EQ(pthread_barrier_init(&pair.begin, NULL, 2), 0);
    CHECK_EQ(pthread_barrier_init(&pair.end, NULL, 2), 0);
    CHECK_EQ(pthread_create(&thread, NULL, wait_each_round, NULL), 0);
    for (unsigned i = 0; i < rounds(3000, 20000); i++) {
        pp_result *running = pp_apply_async(pool, PP_CALL(take, 1));

        pair.waited_for = pp_apply_async(pool, PP_CALL(take, 0));
        pthread_barrier_wait(&pair.begin);
        spend_time(i % 60);
        pp_cancel(pair.waited_for);
        CHECK_EQ(pp_wait(running), 0); /* who is left behind does so for ever */
        pthread_barrier_wait(&pair.end);
        pp_result_free(pair.waited_for);
        pp_result_free(running);
    }
    pair.waited_for = NULL;
    pthread_barrier_wait(&pair.begin);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&pair.begin);
    pthread_barrier_destroy(&pair.end);
    finish(pool);
}
