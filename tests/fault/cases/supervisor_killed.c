/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "standard.h"

enum { ITEMS = 1000, CALLS = 20 };

static void stay(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    for (;;)
        pause();
}
PP_TASK(void, stay, struct gate *, gate);

static long same(long x)
{
    return x;
}
PP_TASK(long, same, long, x);

static void note(pp_result *result, void *errors)
{
    (void)result;
    atomic_fetch_add((atomic_int *)errors, 1);
}

static bool draw(void *item, void *gate)
{
    memcpy(item, &gate, sizeof gate);
    return true;
}

/* Work of all kinds. */
struct work {
    struct gate *gate;
    pp_pool *pool;
    pp_result *done, *calls[CALLS], *map;
    pp_iter *iter;
    atomic_int errors;
};

static void begin(struct work *work)
{
    struct gate *items[ITEMS];

    work->pool = pool_of(2);
    work->done = pp_apply_async(work->pool, PP_CALL(same, 7));
    CHECK_EQ(pp_wait(work->done), 0);
    for (int i = 0; i < CALLS; i++)
        work->calls[i] = pp_apply_async(work->pool, PP_CALL(stay, work->gate),
                                        .error_callback = note, .user = &work->errors);
    for (int i = 0; i < ITEMS; i++)
        items[i] = work->gate;
    work->map = pp_map_async(work->pool, stay, items, ITEMS);
    work->iter = pp_imap(work->pool, stay, .input = draw, .user = work->gate);
    CHECK(work->map && work->iter);
    CHECK_SOON(atomic_load(&work->gate->waiting) == 2);
}

static void *join(void *pool)
{
    CHECK_EQ(pp_join(pool), 0);
    return NULL;
}

static void check_open(struct work *work)
{
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(get(work->calls[i], NULL), PP_ECRASHED);
    CHECK_EQ(get(work->map, NULL), PP_ECRASHED);
    CHECK_EQ(pp_failures(work->map), ITEMS);
    answered_now();
    CHECK_EQ(atomic_load(&work->errors), CALLS);
    saw("PP_ECRASHED for %d calls, with their callbacks, and %d items", CALLS, ITEMS);
}

/*
 * What it had drawn is an error each; more is not drawn, although the input has no end.  What was
 * just being drawn when the join was over is cancelled.
 */
static void check_iterator(pp_iter *iter)
{
    int error, drawn = 0;

    while ((error = pp_next(iter, NULL, .timeout = 10)) == PP_ECRASHED || error == PP_ECANCELLED)
        drawn++;
    CHECK_EQ(error, -ESHUTDOWN);
    saw("%d of the iterator's, then -ESHUTDOWN", drawn);
}

CASE(supervisor_killed, .title = "SIGKILL of the supervisor, while work of all kinds is open",
     .must = "all that is open ends as an error, what is there stays, and nothing hangs")
{
    struct work work = { .gate = gate_new() };
    struct census census;
    pthread_t thread;
    long value = 0;

    begin(&work);
    CHECK_SOON(take_census(&census, 2));
    CHECK_EQ(pp_close(work.pool), 0);
    CHECK_EQ(pthread_create(&thread, NULL, join, work.pool), 0);
    fault_now();
    CHECK_EQ(kill(census.supervisor, SIGKILL), 0);
    check_open(&work);
    check_iterator(work.iter);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    saw("pp_join() returned");
    CHECK_EQ(get(work.done, &value), 0);
    CHECK_EQ(value, 7);
    end_pool(work.pool);
    gate_free(work.gate);
}
