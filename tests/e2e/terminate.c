/* SPDX-License-Identifier: MIT */
/* pp_terminate(): at once, and what is open is cancelled. */
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

static int sleep_long(int seconds)
{
    sleep((unsigned)seconds);
    return 0;
}
PP_TASK(int, sleep_long, int, seconds);

/* Ignores all that can be ignored, and says so by coming to the gate. */
static int endure(struct gate *gate)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_IGN);
    gate_wait(gate);
    return 0;
}
PP_TASK(int, endure, struct gate *, gate);

TEST(no_worker_after_terminate)
{
    pp_pool *pool = pool_of(3);
    struct census census;

    CHECK(take_census(&census, 3));
    CHECK_EQ(pp_terminate(pool), 0);
    for (size_t i = 0; i < 3; i++)
        CHECK(!is_alive(census.workers[i]));
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(processes(), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* A pool with ten thousand sleeps to do ends at once. */
TEST(terminate_is_prompt)
{
    enum { TASKS = 10000 };
    static pp_result *results[TASKS];
    pp_pool *pool = pool_of(2);
    pp_result *done = pp_apply_async(pool, PP_CALL(square, 5));
    double start;
    long value = 0;

    CHECK_EQ(pp_wait(done), 0);
    for (int i = 0; i < TASKS; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(sleep_long, 1000))) != NULL);
    start = harness_now();
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK(harness_now() - start < 5 * harness_time_factor());
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(pp_get(results[i], NULL), PP_ECANCELLED);
    CHECK_EQ(pp_get(done, &value), 0);
    CHECK_EQ(value, 25);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(terminate_twice)
{
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(terminate_after_close)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1));

    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(terminate_what_ignores_signals)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *first = pp_apply_async(pool, PP_CALL(endure, gate));
    pp_result *second = pp_apply_async(pool, PP_CALL(endure, gate));

    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_get(first, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_get(second, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

/* In the middle of a map: what is done stays in the result. */
TEST(terminate_a_map)
{
    struct gate *gate = gate_new();
    PP_ARGS(wait_and_square) items[100];
    long out[100];
    pp_pool *pool = pool_of(1);
    pp_result *result;

    for (int i = 0; i < 100; i++) {
        items[i] = (PP_ARGS(wait_and_square)){ gate, i };
        out[i] = -1;
    }
    result = pp_starmap_async(pool, wait_and_square, items, 100, .chunksize = 1);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_get(result, out), PP_ECANCELLED);
    CHECK_EQ(pp_failures(result), 100);
    for (size_t i = 0; i < 100; i++) {
        CHECK_EQ(pp_failure(result, i)->index, i);
        CHECK_EQ(pp_failure(result, i)->kind, PP_CANCELLED);
        CHECK_EQ(out[i], -1);
    }
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

/* ---- Strings that never came ----------------------------------------------- */

static const char *spell(long number)
{
    char *text = pp_reserve(32);

    snprintf(text, 32, "%ld", number);
    return text;
}
PP_TASK(const char *, spell, long, number);

/* More than there are slots: most of them wait, with their arguments, in the client. */
TEST(strings_that_never_came, .timeout = 60)
{
    enum { CALLS = 20000 };
    struct gate *gate = gate_new();
    pp_pool *pool = pp_pool_new(.processes = 1);
    pp_result **results = calloc(CALLS, sizeof *results);
    const char *text = NULL;

    CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1))); /* nothing else is run */
    for (long i = 0; i < CALLS; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(spell, 0x5555 + i))) != NULL);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_get(results[CALLS - 1], &text), PP_ECANCELLED);
    for (long i = 0; i < CALLS; i += 2)
        pp_result_free(results[i]);
    CHECK_EQ(pp_pool_free(pool), 0);
    free(results);
    gate_free(gate);
}
