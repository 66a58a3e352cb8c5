/* SPDX-License-Identifier: MIT */
/*
 * A map of a million items of which a hundred crash, each in one of five ways: those
 * hundred fail, as what they did says, and all others have their values.  Again and
 * again in the same pool.
 */
#include <procpool.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "support.h"
#include "trials.h"

enum { ITEMS = 1000000, CRASHES = 100, WORKERS = 4 };

enum way { FINE, SEGV, KILLED, ABORTED, EXIT_0, EXIT_3, WAYS };

static const struct {
    int signal, status;
} ends[WAYS] = {
    [SEGV] = { SIGSEGV, 0 }, [KILLED] = { SIGKILL, 0 }, [ABORTED] = { SIGABRT, 0 },
    [EXIT_0] = { 0, 0 },     [EXIT_3] = { 0, 3 },
};

/* What is shared with the workers. */
static struct {
    unsigned char way[ITEMS];
    atomic_uchar runs[ITEMS];
} *plan;

static void end(enum way way)
{
    volatile int *volatile nowhere = NULL;

    switch (way) {
    case SEGV:
        *nowhere = 1;
        break;
    case KILLED:
        raise(SIGKILL);
        break;
    case ABORTED:
        abort();
    case EXIT_0:
        exit(0);
    case EXIT_3:
        _exit(3);
    case FINE:
    case WAYS:
        break;
    }
}

static long triple(int item)
{
    atomic_fetch_add(&plan->runs[item], 1);
    end((enum way)plan->way[item]);
    return 3L * item + 1;
}
PP_TASK(long, triple, int, item);

static void make_plan(unsigned long *seed)
{
    memset(plan, 0, sizeof *plan);
    for (int crashes = 0; crashes < CRASHES;) {
        unsigned char *way = &plan->way[next_random(seed) % ITEMS];

        if (*way == FINE) {
            *way = (unsigned char)(SEGV + next_random(seed) % (WAYS - SEGV));
            crashes++;
        }
    }
}

/* Each ran once; the good ones have their values, in the others' places is what was. */
static void check_values(const long *out)
{
    for (long i = 0; i < ITEMS; i++) {
        CHECK_EQ(atomic_load(&plan->runs[i]), 1);
        CHECK_EQ(out[i], plan->way[i] == FINE ? 3 * i + 1 : -1);
    }
}

static void check_failures(pp_result *result)
{
    size_t failures = 0;

    CHECK_EQ(pp_failures(result), CRASHES);
    for (size_t i = 0; i < ITEMS; i++) {
        const pp_error *error;

        if (plan->way[i] == FINE)
            continue;
        error = pp_failure(result, failures++);
        CHECK_EQ(error->kind, PP_CRASHED);
        CHECK_EQ(error->index, i);
        CHECK_EQ(error->signal, ends[plan->way[i]].signal);
        CHECK_EQ(error->status, ends[plan->way[i]].status);
        CHECK_STR(error->function, "triple");
    }
    CHECK_EQ(failures, CRASHES);
}

static void run_map(pp_pool *pool, const int *items, long chunksize, bool waits)
{
    long *out = malloc(ITEMS * sizeof *out);

    memset(out, 0xff, ITEMS * sizeof *out);
    if (waits) {
        CHECK_EQ(pp_map(pool, triple, items, ITEMS, out, .chunksize = chunksize), PP_ECRASHED);
    } else {
        pp_result *result = pp_map_async(pool, triple, items, ITEMS, .chunksize = chunksize);

        CHECK_EQ(pp_get(result, out), PP_ECRASHED);
        check_failures(result);
        pp_result_free(result);
    }
    check_values(out);
    free(out);
}

TEST(a_hundred_of_a_million_again_and_again, .timeout = 240)
{
    static const long chunksizes[] = { 0, 0, 1000, 10, 0, 20011 };
    unsigned times = trials(HARNESS_SANITIZED ? 2 : 20, 20);
    unsigned long seed = choose_seed();
    int *items = malloc(ITEMS * sizeof *items);
    pp_pool *pool;

    for (int i = 0; i < ITEMS; i++)
        items[i] = i;
    plan = shared_new(sizeof *plan);
    pool = pool_of(WORKERS);
    for (unsigned i = 0; i < times; i++) {
        make_plan(&seed);
        run_map(pool, items, chunksizes[i % 6], i % 4 == 3);
    }
    finish(pool);
    shared_free(plan, sizeof *plan);
    free(items);
}
