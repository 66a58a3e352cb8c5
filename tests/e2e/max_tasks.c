/* SPDX-License-Identifier: MIT */
/* .max_tasks_per_child: a worker is replaced after so many items. */
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

static pid_t process_id(void)
{
    return getpid();
}
PP_TASK(pid_t, process_id);

static pid_t process_of(atomic_uchar *runs)
{
    atomic_fetch_add(runs, 1);
    return getpid();
}
PP_TASK(pid_t, process_of, atomic_uchar *, runs);

static int fail(int code)
{
    pp_raise(code, "failed");
}
PP_TASK(int, fail, int, code);

static pp_pool *pool_of_few(int workers, long tasks)
{
    pp_pool *pool = pp_pool_new(.processes = workers, .max_tasks_per_child = tasks);

    CHECK(pool != NULL);
    return pool;
}

/* With one worker, its number changes after just so many calls. */
static void check_calls(long max, int calls)
{
    pp_pool *pool = pool_of_few(1, max);
    pid_t last = 0;

    for (int i = 0; i < calls; i++) {
        pid_t pid = 0;

        CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &pid), 0);
        CHECK_EQ(pid != last, i % max == 0);
        last = pid;
    }
    finish(pool);
}

TEST(one_call)
{
    check_calls(1, 50);
}

TEST(ten_calls)
{
    check_calls(10, 95);
}

TEST(without_end)
{
    pp_pool *pool = pool_of_few(1, 0);
    pid_t first = 0, pid = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &first), 0);
    for (int i = 0; i < 5000; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &pid), 0);
        CHECK_EQ(pid, first);
    }
    finish(pool);
}

/* A map of items that count their runs, in a pool made for it; gives the processes
   that ran them. */
static void run_map(int workers, long max, long chunksize, size_t count, pid_t *pids)
{
    atomic_uchar *runs = shared_new(count);
    atomic_uchar **items = calloc(count, sizeof *items);
    pp_pool *pool = pool_of_few(workers, max);

    for (size_t i = 0; i < count; i++)
        items[i] = &runs[i];
    CHECK_EQ(pp_map(pool, process_of, items, count, pids, .chunksize = chunksize), 0);
    finish(pool);
    for (size_t i = 0; i < count; i++) {
        CHECK(pids[i] > 0);
        CHECK_EQ(atomic_load(&runs[i]), 1);
    }
    free(items);
    shared_free(runs, count);
}

/* Items are counted, not chunks: a worker is replaced in the middle of one, too. */
TEST(in_the_middle_of_a_chunk)
{
    enum { COUNT = 100, MAX = 7 };
    pid_t pids[COUNT];

    run_map(1, MAX, COUNT, COUNT, pids);
    for (int i = 1; i < COUNT; i++)
        CHECK_EQ(pids[i] != pids[i - 1], i % MAX == 0);
}

TEST(at_the_end_of_a_chunk)
{
    enum { COUNT = 60, MAX = 10 };
    pid_t pids[COUNT];

    run_map(1, MAX, MAX, COUNT, pids);
    for (int i = 1; i < COUNT; i++)
        CHECK_EQ(pids[i] != pids[i - 1], i % MAX == 0);
}

/* The order in which chunks, and the rest of one, are run is not what matters. */
TEST(in_several_chunks)
{
    enum { COUNT = 90, MAX = 10 };
    pid_t pids[COUNT];

    run_map(1, MAX, 4, COUNT, pids);
    for (int i = 0; i < COUNT; i++) {
        int same = 0;

        for (int j = 0; j < COUNT; j++)
            same += pids[j] == pids[i];
        CHECK_EQ(same, MAX);
    }
}

/* No worker runs more than it may. */
static void check_many(long chunksize)
{
    enum { COUNT = 5000, MAX = 13 };
    pid_t *pids = calloc(COUNT, sizeof *pids);

    run_map(2, MAX, chunksize, COUNT, pids);
    for (int i = 0; i < COUNT; i++) {
        int same = 0;

        for (int j = 0; j < COUNT; j++)
            same += pids[j] == pids[i];
        CHECK(same <= MAX);
    }
    free(pids);
}

TEST(two_workers, .timeout = 60)
{
    check_many(0);
}

TEST(two_workers_with_chunks_of_one, .timeout = 60)
{
    check_many(1);
}

TEST(two_workers_with_large_chunks, .timeout = 60)
{
    check_many(1000);
}

/* One that raises is an item as well. */
TEST(failed_items_count)
{
    pp_pool *pool = pool_of_few(1, 2);
    pid_t last = 0, pid = 0;

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(fail, 1), NULL), PP_ERAISED);
        CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &pid), 0);
        CHECK(pid != last);
        last = pid;
    }
    finish(pool);
}

/* Hundreds of workers that have done their part are no storm of crashes. */
TEST(does_not_break_the_pool, .timeout = 60)
{
    enum { COUNT = 500 };
    pid_t pids[COUNT];

    run_map(2, 1, 0, COUNT, pids);
}
