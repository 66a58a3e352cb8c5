/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "standard.h"

void harness_init(int *argc, char ***argv)
{
    pp_init(argc, argv);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *hold(void *gate)
{
    pthread_mutex_lock(&lock);
    gate_wait(gate);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static long take(long x)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    return x;
}
PP_TASK(long, take, long, x);

/* In the default start of such a program there is a fresh image, where nobody holds it. */
static void without_asking(void)
{
    pp_pool *pool = pool_of(2);
    long value = 0;

    CHECK_EQ(pp_stats_of(pool).start, PP_SPAWN);
    CHECK_EQ(get(pp_apply_async(pool, PP_CALL(take, 5)), &value), 0);
    CHECK_EQ(value, 5);
    CHECK_EQ(pp_pool_free(pool), 0);
    saw("by default: executed anew, the task succeeds");
}

/* Who insists on a fork has the lock for ever; the time limit is what helps then. */
static void forked(void)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .start = PP_FORK);
    double limit = 0.2;

    CHECK(pool != NULL);
    fault_at(harness_now() + limit);
    CHECK_EQ(get(pp_apply_async(pool, PP_CALL(take, 5), .time_limit = limit), NULL),
             PP_ETIMELIMIT);
    answered_now();
    saw("with PP_FORK: %s", ending_words(PP_ETIMELIMIT, NULL));
    check_bystanders(pool);
    saw("20 of 20 others right");
    end_pool(pool);
}

CASE(lock_held_at_fork, .python = "c29_fork_lock_held",
     .title = "a pool made while another thread holds a lock that the task takes",
     .must = "the task succeeds in a fresh image; forked, it is an error at its limit")
{
    struct gate *gate = gate_new();
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, hold, gate), 0);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    without_asking();
    forked();
    gate_open(gate);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    gate_free(gate);
}
