/* SPDX-License-Identifier: MIT */
/* Scenarios in which tasks are stopped, workers leave, and pools end before their tasks. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "judge.h"
#include "scenarios.h"

#define LIMIT_S 0.002
#define GRACE_S 0.002

static pp_result *submit(pp_pool *pool, const pp_task *task, long id, double limit,
                         double grace)
{
    return pp_apply_async_with(pool, (pp_call){ task, &id },
                               &(pp_async_options){ .size = sizeof(pp_async_options),
                                                    .time_limit = limit,
                                                    .grace = grace });
}

static void judge_one(pp_result *result, long id, struct nature (*nature)(long))
{
    judge(result, &(struct expected){ id, 1, wrong_number, nature });
}

/* ---- Time limits ---- */

/* The second item of a chunk does not end. */
static long stay(long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    atomic_fetch_add(&stage->begun, 1);
    while (id % 4 == 1)
        pause();
    return 5 * id + 3;
}
PP_TASK(long, stay, long, id);

static struct nature stays(long id)
{
    return (struct nature){ .endless = id % 4 == 1, .timed = true };
}

void run_limit(void)
{
    pp_pool *pool = POOL(.processes = 2);
    const long ids[] = { 0, 1, 2, 3 };
    pp_result *result =
        pp_map_async_with(pool, &stay_pp_task, ids, 4,
                          &(pp_map_async_options){ .size = sizeof(pp_map_async_options),
                                                   .chunksize = 4,
                                                   .time_limit = LIMIT_S });

    judge(result, &(struct expected){ 0, 4, wrong_number, stays });
    finish(pool, 8); /* any item may be found to have run too long */
}

/* ---- Grace ---- */

static volatile sig_atomic_t told;

static void note(int signal)
{
    (void)signal;
    told = 1;
}

/* Returns when it is told to. */
static long listen(long id)
{
    signal(SIGTERM, note);
    told = 0;
    atomic_fetch_add(&stage->runs[id], 1);
    while (!told)
        usleep(200);
    return 5 * id + 3;
}
PP_TASK(long, listen, long, id);

static long ignore(long id)
{
    signal(SIGTERM, SIG_IGN);
    atomic_fetch_add(&stage->runs[id], 1);
    for (;;)
        pause();
    return id;
}
PP_TASK(long, ignore, long, id);

static struct nature listens(long id)
{
    (void)id;
    return (struct nature){ .timed = true };
}

static struct nature ignores(long id)
{
    (void)id;
    return (struct nature){ .endless = true };
}

void run_grace(void)
{
    pp_pool *pool = POOL(.processes = 1);
    pp_result *first = submit(pool, &listen_pp_task, 0, LIMIT_S, 1.0);
    pp_result *second = submit(pool, number_task, 1, 0, 0);
    pp_result *third = submit(pool, &ignore_pp_task, 2, LIMIT_S, GRACE_S);

    judge_one(first, 0, listens);
    judge_one(second, 1, good);
    judge_one(third, 2, ignores);
    finish(pool, 2);
}

/* ---- Cancelling ---- */

static long hang(long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    atomic_fetch_add(&stage->begun, 1);
    for (;;)
        pause();
    return id;
}
PP_TASK(long, hang, long, id);

static struct nature is_cancelled(long id)
{
    (void)id;
    return (struct nature){ .cancelled = true };
}

static void cancel(pp_result *result)
{
    int code = result ? pp_cancel(result) : 0;

    MUST(code == 0 || code == -EALREADY);
}

/* What runs, what waits; and a chunk that sees it between two items. */
void run_cancel(void)
{
    pp_pool *pool = POOL(.processes = 1);
    pp_result *running = submit(pool, &hang_pp_task, 0, 0, 0);
    pp_result *queued = submit(pool, number_task, 1, 0, 0);
    pp_result *other = submit(pool, number_task, 2, 0, 0);

    await_begun(1, running);
    cancel(queued);
    cancel(running);
    judge_one(running, 0, is_cancelled);
    judge_one(queued, 1, is_cancelled);
    judge_one(other, 2, good);
    finish(pool, 1);
}

static long wait_a_little(long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    atomic_fetch_add(&stage->begun, 1);
    while (!atomic_load(&stage->open))
        harness_nap();
    return 5 * id + 3;
}
PP_TASK(long, wait_a_little, long, id);

/* An iterator is freed: its chunk ends after the item that runs. */
void run_soon(void)
{
    pp_pool *pool = POOL(.processes = 1);
    const long ids[] = { 0, 1, 2, 3 };
    pp_iter *iter = pp_imap_with(pool, &wait_a_little_pp_task,
                                 &(pp_imap_options){ .size = sizeof(pp_imap_options),
                                                     .items = ids,
                                                     .count = 4,
                                                     .chunksize = 4 });

    while (iter && atomic_load(&stage->begun) == 0 && !was_killed(WORKER) &&
           !was_killed(SUPERVISOR))
        harness_nap();
    pp_iter_free(iter);
    atomic_store(&stage->open, true);
    finish(pool, 0);
}

/* ---- Workers that leave ---- */

static void count_end(void *local)
{
    (void)local;
    atomic_fetch_add(&stage->called, 1);
}

/* In the middle of a chunk, too. */
void run_retire(void)
{
    pp_pool *pool = POOL(.processes = 2, .max_tasks_per_child = 3, .finalizer = count_end);
    const long ids[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    pp_result *result =
        pp_map_async_with(pool, number_task, ids, 8,
                          &(pp_map_async_options){ .size = sizeof(pp_map_async_options),
                                                   .chunksize = 5 });

    judge(result, &(struct expected){ 0, 8, wrong_number, good });
    finish(pool, 0);
}

static void never_end(void *local)
{
    (void)local;
    for (;;)
        pause();
}

void run_overdue(void)
{
    pp_pool *pool =
        POOL(.processes = 1, .finalizer = never_end, .finalizer_limit = LIMIT_S);

    finish(pool, 1);
}

void run_resize(void)
{
    pp_pool *pool = POOL(.processes = 2);
    static const int sizes[] = { 3, 1, 2 };

    for (int i = 0; i < 3; i++) {
        int code = pp_pool_resize(pool, sizes[i]);

        MUST(code == 0 || (code == -ENOTRECOVERABLE && was_killed(SUPERVISOR)));
        judge_one(submit(pool, number_task, i, 0, 0), i, good);
    }
    finish(pool, 0);
}

/* ---- Pools that end before their tasks ---- */

static void begin_work(pp_pool *pool, pp_result *results[3])
{
    results[0] = submit(pool, number_task, 0, 0, 0);
    results[1] = submit(pool, &hang_pp_task, 1, 0, 0);
    results[2] = submit(pool, number_task, 2, 0, 0);
    await_begun(1, results[1]);
}

void run_terminate(void)
{
    pp_pool *pool = POOL(.processes = 1);
    pp_result *results[3];

    begin_work(pool, results);
    MUST(pp_terminate(pool) == 0);
    for (long id = 0; id < 3; id++)
        judge_one(results[id], id, is_cancelled);
    check_empty(pool);
    MUST(pp_join(pool) == 0);
    MUST(pp_pool_free(pool) == 0);
}

void run_free(void)
{
    pp_pool *pool = POOL(.processes = 2);
    pp_result *results[3];

    begin_work(pool, results);
    MUST(pp_pool_free(pool) == 0);
}
