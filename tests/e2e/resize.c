/* SPDX-License-Identifier: MIT */
/* pp_pool_resize(): more workers and fewer, of a pool that runs. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static pid_t wait_at(struct gate *gate)
{
    gate_wait(gate);
    return getpid();
}
PP_TASK(pid_t, wait_at, struct gate *, gate);

static bool has_workers(size_t count)
{
    struct census census;

    return take_census(&census, count);
}

static void check_squares(pp_pool *pool, long count)
{
    long *items = calloc((size_t)count, sizeof *items);

    for (long i = 0; i < count; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, square, items, (size_t)count, items), 0);
    for (long i = 0; i < count; i++)
        CHECK_EQ(items[i], i * i);
    free(items);
}

/* ---- Growing and shrinking ----------------------------------------------- */

TEST(grows_at_once_while_all_are_busy)
{
    enum { TASKS = 4 };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *results[TASKS];

    for (int i = 0; i < TASKS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_at, gate));
    CHECK_SOON(gate->waiting == 1);
    CHECK_EQ(pp_pool_resize(pool, TASKS), 0);
    CHECK_SOON(gate->waiting == TASKS);
    CHECK(has_workers(TASKS));
    gate_open(gate);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(pp_get(results[i], NULL), 0);
    finish(pool);
    gate_free(gate);
}

TEST(shrinks_at_once_when_idle)
{
    pp_pool *pool = pool_of(5);

    check_squares(pool, 1000);
    for (int workers = 4; workers > 0; workers--) {
        CHECK_EQ(pp_pool_resize(pool, workers), 0);
        CHECK_SOON(has_workers((size_t)workers));
    }
    check_squares(pool, 1000);
    finish(pool);
}

/* Named after their seats, which at first are their ids. */
TEST(highest_ids_go_first)
{
    struct harness_process list[16];
    pp_pool *pool = pool_of(6);
    int expected = 0;

    CHECK_EQ(pp_pool_resize(pool, 2), 0);
    CHECK_SOON(has_workers(2));
    CHECK_EQ(harness_others(list, 16), 3);
    for (int i = 0; i < 3; i++)
        expected += strcmp(list[i].name, "pp-worker-0") == 0 ||
                    strcmp(list[i].name, "pp-worker-1") == 0;
    CHECK_EQ(expected, 2);
    finish(pool);
}

/* Each does what it has in hand, and then goes. */
TEST(nobody_is_killed_in_mid_task)
{
    enum { TASKS = 4 };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(TASKS);
    pp_result *results[TASKS];
    pid_t pids[TASKS];

    for (int i = 0; i < TASKS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_at, gate));
    CHECK_SOON(gate->waiting == TASKS);
    CHECK_EQ(pp_pool_resize(pool, 1), 0);
    check_squares(pool, 0);
    CHECK(has_workers(TASKS));
    gate_open(gate);
    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(pp_get(results[i], &pids[i]), 0);
        for (int j = 0; j < i; j++)
            CHECK(pids[i] != pids[j]);
    }
    CHECK_SOON(has_workers(1));
    check_squares(pool, 1000);
    finish(pool);
    gate_free(gate);
}

/* Those that are still there are taken back: the pool never has more than it may. */
TEST(busy_workers_are_taken_back)
{
    enum { TASKS = 3 };
    struct gate *gate = gate_new();
    pp_pool *pool = pp_pool_new(.processes = TASKS, .max_processes = TASKS);
    pp_result *results[TASKS];

    CHECK(pool != NULL);
    for (int i = 0; i < TASKS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_at, gate));
    CHECK_SOON(gate->waiting == TASKS);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(pp_pool_resize(pool, 1), 0);
        harness_nap();
        CHECK_EQ(pp_pool_resize(pool, TASKS), 0);
        CHECK(has_workers(TASKS));
    }
    gate_open(gate);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(pp_get(results[i], NULL), 0);
    check_squares(pool, 1000);
    CHECK_SOON(has_workers(TASKS));
    finish(pool);
    gate_free(gate);
}

static int take_a_while(struct gate *gate)
{
    sleep_for(5000);
    gate_wait(gate);
    return 0;
}
PP_TASK(int, take_a_while, struct gate *, gate);

/* Of items that are known to take long only a few are in flight: more when workers come. */
TEST(a_running_map_feeds_those_that_come)
{
    enum { ITEMS = 20 };
    struct gate *gate = gate_new();
    struct gate *items[ITEMS];
    pp_pool *pool = pool_of(1);
    pp_result *result;

    for (int i = 0; i < ITEMS; i++)
        items[i] = gate;
    gate_open(gate);
    CHECK_EQ(pp_map(pool, take_a_while, items, ITEMS, NULL), 0);
    gate->open = gate->waiting = 0;
    result = pp_map_async(pool, take_a_while, items, ITEMS);
    CHECK(result != NULL);
    CHECK_SOON(gate->waiting == 1);
    CHECK_EQ(pp_pool_resize(pool, 8), 0);
    CHECK_SOON(gate->waiting == 8);
    gate_open(gate);
    CHECK_EQ(pp_get(result, NULL), 0);
    finish(pool);
    gate_free(gate);
}

struct large {
    char bytes[4 << 20];
};

static struct large make_large(struct gate *gate)
{
    static struct large large;

    gate_wait(gate);
    return large;
}
PP_TASK(struct large, make_large, struct gate *, gate);

static bool give_gate(void *item, void *gate)
{
    *(struct gate **)item = gate;
    return true;
}

static void *read_fifty(void *iter)
{
    static struct large large;

    for (int i = 0; i < 50; i++)
        CHECK_EQ(pp_next((pp_iter *)iter, &large), 0);
    return NULL;
}

/* Of large values an iterator draws so many per worker; also for a reader that waits. */
TEST(an_iterator_feeds_those_that_come)
{
    enum { WORKERS = 30 };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_iter *iter = pp_imap(pool, make_large, .input = give_gate, .user = gate);
    pthread_t reader;

    CHECK(iter != NULL);
    CHECK_EQ(pthread_create(&reader, NULL, read_fifty, iter), 0);
    CHECK_SOON(gate->waiting == 1);
    CHECK_EQ(pp_pool_resize(pool, WORKERS), 0);
    CHECK_SOON(gate->waiting == WORKERS);
    gate_open(gate);
    CHECK_EQ(pthread_join(reader, NULL), 0);
    pp_iter_free(iter);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

/* ---- While much runs ------------------------------------------------------ */

enum { MANY = 1000000 };

static struct {
    atomic_uchar *runs; /* of each item */
    struct gate *gate;  /* for the last item */
} seen;

static pid_t run_once(long item)
{
    atomic_fetch_add_explicit(&seen.runs[item], 1, memory_order_relaxed);
    if (item == MANY - 1)
        gate_wait(seen.gate);
    return getpid();
}
PP_TASK(pid_t, run_once, long, item);

static bool has_done(pp_result *result, double part)
{
    return (double)pp_progress_of(result).done >= part * MANY;
}

/* A million items, of which the last ends when the last change was made. */
static void resize_meanwhile(pp_pool *pool, const long *items, pid_t *pids)
{
    static const struct {
        double part;
        int workers;
    } changes[] = { { 0.1, 16 }, { 0.4, 1 }, { 0.6, 4 } };
    pp_result *result;

    memset((void *)seen.runs, 0, MANY);
    seen.gate->open = 0;
    CHECK_EQ(pp_pool_resize(pool, 2), 0);
    result = pp_map_async(pool, run_once, items, MANY);
    CHECK(result != NULL);
    for (int i = 0; i < 3; i++) {
        CHECK_SOON(has_done(result, changes[i].part));
        CHECK_EQ(pp_pool_resize(pool, changes[i].workers), 0);
    }
    CHECK(!pp_ready(result));
    gate_open(seen.gate);
    CHECK_EQ(pp_get(result, pids), 0);
    CHECK_EQ(pp_failures(result), 0);
    for (long i = 0; i < MANY; i++)
        CHECK(seen.runs[i] == 1 && pids[i] > 0);
    pp_result_free(result);
    CHECK_SOON(has_workers(4));
}

TEST(a_million_items, .timeout = 120)
{
    long *items = calloc(MANY, sizeof *items);
    pid_t *pids = calloc(MANY, sizeof *pids);
    pp_pool *pool;

    seen.runs = shared_new(MANY);
    seen.gate = gate_new();
    for (long i = 0; i < MANY; i++)
        items[i] = i;
    pool = pool_of(2);
    for (unsigned i = 0; i < (HARNESS_SANITIZED ? 2 : rounds(20, 20)); i++)
        resize_meanwhile(pool, items, pids);
    finish(pool);
    free(pids);
    free(items);
    gate_free(seen.gate);
    shared_free((void *)seen.runs, MANY);
}

TEST(a_thousand_times_in_a_row)
{
    unsigned long seed = choose_seed();
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 1000; i++)
        CHECK_EQ(pp_pool_resize(pool, 1 + (int)(next_random(&seed) % 32)), 0);
    check_squares(pool, 10000);
    CHECK_EQ(pp_pool_resize(pool, 3), 0);
    CHECK_SOON(has_workers(3));
    check_squares(pool, 10000);
    finish(pool);
}

static void *resize_at_random(void *what)
{
    pp_pool *pool = what;
    unsigned long seed = (unsigned long)pthread_self();

    for (int i = 0; i < 200; i++) {
        CHECK_EQ(pp_pool_resize(pool, 1 + (int)(next_random(&seed) % 6)), 0);
        if (i % 20 == 0)
            check_squares(pool, 100);
    }
    return NULL;
}

TEST(from_several_threads, .timeout = 60)
{
    enum { THREADS = 4 };
    pthread_t all[THREADS];
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&all[i], NULL, resize_at_random, pool), 0);
    check_squares(pool, 100000);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(all[i], NULL), 0);
    CHECK_EQ(pp_pool_resize(pool, 2), 0);
    CHECK_SOON(has_workers(2));
    finish(pool);
}

struct change {
    pp_pool *pool;
    atomic_int result;
};

static void resize_to_four(pp_result *result, void *user)
{
    struct change *change = user;

    (void)result;
    change->result = pp_pool_resize(change->pool, 4);
}

TEST(from_a_callback)
{
    struct change change = { pool_of(1), 1 };
    pp_result *result = pp_apply_async(change.pool, PP_CALL(square, 3),
                                       .callback = resize_to_four, .user = &change);

    CHECK_EQ(pp_get(result, NULL), 0);
    CHECK_EQ(change.result, 0);
    CHECK_SOON(has_workers(4));
    finish(change.pool);
}
