/* SPDX-License-Identifier: MIT */
/* Iterators whose items have time limits and attempts, and that are freed before their end. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

enum { ITEMS = 30 };

static const long chunks[] = { 1, 3, 10 };

#define EACH(i, array)                                                                        \
    size_t i = 0;                                                                             \
    i < sizeof array / sizeof array[0];                                                       \
    i++

static bool some(void *item, void *user)
{
    long *next = user;

    *(long *)item = *next;
    return (*next)++ < ITEMS;
}

/* ---- Time limits ------------------------------------------------------------ */

static bool never_ends(long x)
{
    return x % 7 == 3;
}

static long end_or_not(long x)
{
    while (never_ends(x))
        pause();
    return -x;
}
PP_TASK(long, end_or_not, long, x);

static void check_limited(pp_iter *iter)
{
    bool seen[ITEMS] = { false };
    size_t index = 0;
    long value = 0;

    for (int i = 0; i < ITEMS; i++) {
        int code = pp_next(iter, &value, .timeout = 60, .index = &index);

        CHECK(index < ITEMS && !seen[index]);
        seen[index] = true;
        CHECK_EQ(code, never_ends((long)index) ? PP_ETIMELIMIT : 0);
        if (code == 0)
            CHECK_EQ(value, -(long)index);
        else
            CHECK(pp_iter_error(iter)->kind == PP_TIMED_OUT && pp_iter_error(iter)->index == index);
    }
    CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
    pp_iter_free(iter);
}

TEST(time_limits, .timeout = 60)
{
    double limit = 0.2 * harness_time_factor();
    pp_pool *pool = pool_of(3);

    for (EACH(c, chunks)) {
        long next = 0;

        check_limited(pp_imap(pool, end_or_not, .input = some, .user = &next,
                              .chunksize = chunks[c], .time_limit = limit));
        next = 0;
        check_limited(pp_imap_unordered(pool, end_or_not, .input = some, .user = &next,
                                        .chunksize = chunks[c], .time_limit = limit));
    }
    finish(pool);
}

/* ---- Retries ---------------------------------------------------------------- */

static int crash_at_first(long x)
{
    if (x % 5 == 2 && pp_attempt() == 1)
        raise(SIGKILL);
    return pp_attempt();
}
PP_TASK(int, crash_at_first, long, x);

TEST(retries, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    for (EACH(c, chunks)) {
        long next = 0;
        pp_iter *iter = pp_imap(pool, crash_at_first, .input = some, .user = &next,
                                .chunksize = chunks[c], .retries = 1);
        int attempt = 0;

        for (int i = 0; i < ITEMS; i++) {
            CHECK_EQ(pp_next(iter, &attempt, .timeout = 60), 0);
            CHECK_EQ(attempt, i % 5 == 2 ? 2 : 1);
        }
        pp_iter_free(iter);
    }
    finish(pool);
}

/* ---- Freeing ---------------------------------------------------------------- */

static void count_and_wait(atomic_int *calls, struct gate *gate)
{
    atomic_fetch_add(calls, 1);
    gate_wait(gate);
}
PP_TASK(void, count_and_wait, atomic_int *, calls, struct gate *, gate);

/* What is queued is not run; nor is what comes next in the chunk that is running. */
TEST(freed_ones_do_not_run, .timeout = 60)
{
    for (EACH(c, chunks)) {
        struct gate *gate = gate_new();
        atomic_int *calls = shared_new(sizeof *calls);
        PP_ARGS(count_and_wait) items[ITEMS];
        pp_pool *pool = pool_of(1);
        pp_iter *iter;

        for (int i = 0; i < ITEMS; i++)
            items[i] = (PP_ARGS(count_and_wait)){ calls, gate };
        iter = pp_istarmap(pool, count_and_wait, .items = items, .count = ITEMS,
                           .chunksize = chunks[c]);
        CHECK(iter);
        CHECK_SOON(atomic_load(calls) == 1);
        pp_iter_free(iter);
        gate_open(gate);
        finish(pool);
        CHECK_EQ(atomic_load(calls), 1);
        shared_free(calls, sizeof *calls);
        gate_free(gate);
    }
}
