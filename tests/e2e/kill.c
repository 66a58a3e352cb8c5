/* SPDX-License-Identifier: MIT */
/* Workers are killed from outside, while they are idle and while they work. */
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

static void check_works(pp_pool *pool)
{
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 12), &value), 0);
    CHECK_EQ(value, 144);
}

TEST(killed_while_idle)
{
    pp_pool *pool = pool_of(2);

    for (int round = 0; round < 3; round++) {
        struct census census;

        CHECK_SOON(take_census(&census, 2));
        CHECK_EQ(kill(census.workers[round % 2], SIGKILL), 0);
        for (int i = 0; i < 100; i++)
            check_works(pool);
    }
    finish(pool);
}

TEST(all_killed_while_idle)
{
    pp_pool *pool = pool_of(2);
    struct census census, after;

    CHECK(take_census(&census, 2));
    for (int i = 0; i < 2; i++)
        CHECK_EQ(kill(census.workers[i], SIGKILL), 0);
    for (int i = 0; i < 100; i++)
        check_works(pool);
    CHECK_SOON(take_census(&after, 2));
    CHECK_EQ(after.supervisor, census.supervisor);
    finish(pool);
}

/* Says who runs, then works for a moment, then counts itself. */
static long busy(atomic_int *running, atomic_uchar *runs, long x)
{
    double end = harness_now() + 0.0007;

    atomic_store(running, getpid());
    while (harness_now() < end)
        ;
    atomic_fetch_add(runs, 1);
    return 3 * x + 1;
}
PP_TASK(long, busy, atomic_int *, running, atomic_uchar *, runs, long, x);

enum { BUSY_ITEMS = 4000, KILLS = 50 };

/*
 * Kills workers at any moment after they have come to run something.  That is the
 * end of an item nearly always, as workers do little else; were it between items, or
 * before a worker's first, too often, then the pool would take it for workers that
 * cannot be kept alive.
 */
static unsigned kill_now_and_then(pp_result *result, atomic_int *running, unsigned long seed)
{
    unsigned kills = 0;

    while (kills < KILLS && !pp_ready(result)) {
        pid_t victim = atomic_exchange(running, 0);

        usleep((unsigned)(next_random(&seed) % 5000));
        if (victim && is_alive(victim) && kill(victim, SIGKILL) == 0)
            kills++;
    }
    return kills;
}

static void kill_during(long chunksize)
{
    atomic_uchar *runs = shared_new(BUSY_ITEMS);
    atomic_int *running = shared_new(sizeof *running);
    PP_ARGS(busy) *items = calloc(BUSY_ITEMS, sizeof *items);
    long *out = calloc(BUSY_ITEMS, sizeof *out);
    pp_pool *pool = pool_of(3);
    size_t failures = 0;
    unsigned kills;
    pp_result *result;

    for (long i = 0; i < BUSY_ITEMS; i++)
        items[i] = (PP_ARGS(busy)){ running, &runs[i], i };
    result = pp_starmap_async(pool, busy, items, BUSY_ITEMS, .chunksize = chunksize);
    kills = kill_now_and_then(result, running, choose_seed());
    CHECK_EQ(pp_wait(result), 0);
    pp_get(result, out);
    for (size_t i = 0; i < BUSY_ITEMS; i++) {
        const pp_error *error = pp_failure(result, failures);

        if (error && error->index == i) {
            CHECK_EQ(error->kind, PP_CRASHED);
            CHECK_EQ(error->signal, SIGKILL);
            CHECK(atomic_load(&runs[i]) <= 1);
            CHECK_EQ(out[i], 0);
            failures++;
        } else {
            CHECK_EQ(atomic_load(&runs[i]), 1);
            CHECK_EQ(out[i], 3 * (long)i + 1);
        }
    }
    CHECK_EQ(pp_failures(result), failures);
    CHECK(failures <= kills);
    printf("%u killed, %zu items lost\n", kills, failures);
    check_works(pool);
    finish(pool);
    free(items);
    free(out);
    shared_free(runs, BUSY_ITEMS);
    shared_free(running, sizeof *running);
}

TEST(killed_at_any_moment_of_a_map, .timeout = 120)
{
    kill_during(0);
}

TEST(killed_at_any_moment_with_chunks_of_one, .timeout = 120)
{
    kill_during(1);
}

TEST(killed_at_any_moment_with_chunks_of_fifty, .timeout = 120)
{
    kill_during(50);
}
