/* SPDX-License-Identifier: MIT */
/* Scenarios in which tasks raise, crash, and damage what they can write. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "judge.h"
#include "scenarios.h"
#include "worker/worker.h"

static pp_result *map_async(pp_pool *pool, const pp_task *task, long count, long chunksize,
                            int retries, bool stop_on_error)
{
    long ids[64];

    for (long id = 0; id < count; id++)
        ids[id] = id;
    return pp_map_async_with(pool, task, ids, (size_t)count,
                             &(pp_map_async_options){ .size = sizeof(pp_map_async_options),
                                                      .chunksize = chunksize,
                                                      .retries = retries,
                                                      .stop_on_error = stop_on_error });
}

static long value_of(long id)
{
    return 5 * id + 3;
}

/* ---- Crashes in the middle of a chunk ---- */

static bool is_deadly(long id)
{
    return id == 2 || id == 9;
}

static long die(long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    if (is_deadly(id))
        raise(SIGKILL);
    return value_of(id);
}
PP_TASK(long, die, long, id);

static struct nature dies(long id)
{
    return (struct nature){ .crashes = is_deadly(id), .signal = SIGKILL };
}

void run_crash(void)
{
    pp_pool *pool = POOL(.processes = 2);

    judge(map_async(pool, &die_pp_task, 16, 6, 0, false),
          &(struct expected){ 0, 16, wrong_number, dies });
    finish(pool, 2);
}

/* With retries, and with somebody to tell. */

static long die_once(long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    if (is_deadly(id) && pp_attempt() == 1)
        raise(SIGKILL);
    return value_of(id);
}
PP_TASK(long, die_once, long, id);

/* Others that are killed are run again as well. */
static struct nature dies_once(long id)
{
    return (struct nature){ .crashes = true, .signal = SIGKILL, .times = is_deadly(id) };
}

static void judge_retried(pp_result *result, size_t count)
{
    long values[64];
    int code;

    if (!result) {
        MUST(errno == ENOTRECOVERABLE && was_killed(SUPERVISOR));
        return;
    }
    code = pp_get(result, values);
    MUST(code == 0 || (code == PP_ECRASHED && was_killed(SUPERVISOR)));
    for (size_t i = 0; i < count && code == 0; i++) {
        unsigned runs = atomic_load(&stage->runs[i]), wanted = 1 + dies_once((long)i).times;

        MUST(values[i] == value_of((long)i));
        MUST(runs >= 1 && runs <= wanted + was_killed(WORKER));
    }
    pp_result_free(result);
}

void run_retries(void)
{
    pp_pool *pool = POOL(.processes = 2);

    judge_retried(map_async(pool, &die_once_pp_task, 16, 6, 3, false), 16);
    finish(pool, 2);
}

static void on_death(const pp_death *death, void *user)
{
    (void)death;
    atomic_fetch_add((atomic_uint *)user, 1);
}

void run_told(void)
{
    atomic_uint told = 0;
    pp_pool *pool = POOL(.processes = 2, .on_death = on_death, .user = &told);

    judge(map_async(pool, &die_pp_task, 12, 6, 0, false),
          &(struct expected){ 0, 12, wrong_number, dies });
    works_on(pool);
    MUST(pp_close(pool) == 0);
    MUST(pp_join(pool) == 0);
    MUST(was_killed(SUPERVISOR) || atomic_load(&told) == pp_stats_of(pool).deaths);
    MUST(was_killed(SUPERVISOR) || atomic_load(&told) >= 2);
    MUST(pp_pool_free(pool) == 0);
}

/* ---- A crash that is described ---- */

static long fault(long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    raise(SIGABRT);
    return id;
}
PP_TASK(long, fault, long, id);

static struct nature faults(long id)
{
    (void)id;
    return (struct nature){ .crashes = true, .signal = SIGABRT };
}

void run_report(void)
{
    pp_pool *pool = POOL(.processes = 2);

    judge(map_async(pool, &fault_pp_task, 1, 1, 0, false),
          &(struct expected){ 0, 1, wrong_number, faults });
    finish(pool, 1);
}

/* ---- Raising ---- */

static long refuse(long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    if (id % 8 == 3)
        pp_raise(77, "item %ld", id);
    return value_of(id);
}
PP_TASK(long, refuse, long, id);

static struct nature refuses(long id)
{
    return (struct nature){ .raises = id % 8 == 3 };
}

static struct nature refuses_or_stops(long id)
{
    return (struct nature){ .raises = id % 8 == 3, .cancelled = true };
}

void run_raise(void)
{
    pp_pool *pool = POOL(.processes = 2);

    judge(map_async(pool, &refuse_pp_task, 16, 6, 0, false),
          &(struct expected){ 0, 16, wrong_number, refuses });
    for (int id = 0; id < 64; id++)
        atomic_store(&stage->runs[id], 0);
    judge(map_async(pool, &refuse_pp_task, 40, 4, 0, true),
          &(struct expected){ 0, 40, wrong_number, refuses_or_stops });
    finish(pool, 0);
}

/* ---- What workers can write ---- */

/* Commits a record of no task. */
static long lie(long id)
{
    const struct ppi_record_shm record = { .position = 4711, .count = 1, .outcome = PPI_OK };

    atomic_fetch_add(&stage->runs[id], 1);
    ppi_seat_commit(&ppi_current_worker->seat, &record, 0);
    return value_of(id);
}
PP_TASK(long, lie, long, id);

/* It may be killed for that before its own record is there, or after. */
static struct nature lies(long id)
{
    return (struct nature){ .crashes = id == 0, .signal = SIGKILL };
}

static void judge_lie(pp_result *result)
{
    long value;
    int code = result ? pp_get(result, &value) : -errno;

    if (code == PP_ECRASHED || code == -ENOTRECOVERABLE)
        judge_code(code, result ? pp_error_of(result) : NULL, 0, lies(0));
    else
        MUST(code == 0 && value == value_of(0));
    pp_result_free(result);
}

void run_nonsense(void)
{
    pp_pool *pool = POOL(.processes = 2);

    judge_lie(map_async(pool, &lie_pp_task, 1, 1, 0, false));
    finish(pool, 1);
}

/* Makes the word of a task that nobody has claimed one that cannot be, and crashes. */
static long damage(long id)
{
    struct ppi_claims_shm *claims = ppi_current_worker->seat.queue->claims;

    atomic_fetch_add(&stage->runs[id], 1);
    while (atomic_load(&ppi_current_worker->seat.queue->shm->tail) < 4)
        harness_nap();
    atomic_store(&claims->words[3], UINT64_C(0x123456789abcdef));
    raise(SIGKILL);
    return 0;
}
PP_TASK(long, damage, long, id);

static struct nature damages(long id)
{
    return (struct nature){ .crashes = true, .signal = SIGKILL, .times = 0 * (unsigned)id };
}

/* The one whose word was damaged is run, or has crashed. */
void run_damage(void)
{
    pp_pool *pool = POOL(.processes = 1);
    long ids[4] = { 0, 1, 2, 3 };
    pp_result *results[4];

    results[0] = pp_apply_async_with(pool, (pp_call){ &damage_pp_task, &ids[0] }, NULL);
    for (int i = 1; i < 4; i++)
        results[i] = pp_apply_async_with(pool, (pp_call){ number_task, &ids[i] }, NULL);
    judge(results[0], &(struct expected){ 0, 1, wrong_number, damages });
    for (int i = 1; i < 3; i++)
        judge(results[i], &(struct expected){ i, 1, wrong_number, good });
    if (results[3])
        MUST(pp_wait(results[3]) == 0);
    pp_result_free(results[3]);
    finish(pool, 1);
}

/* Closes all that a worker has, so that it cannot write to the event. */
static long let_go(long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    closefrom(STDERR_FILENO + 1);
    return value_of(id);
}
PP_TASK(long, let_go, long, id);

void run_owed(void)
{
    pp_pool *pool = POOL(.processes = 1, .callbacks = PP_CALLBACKS_POLL);
    struct pollfd fd = { .fd = pp_pool_fd(pool), .events = POLLIN };
    pp_result *result;

    MUST(pp_poll(pool) >= 0);
    result = map_async(pool, &let_go_pp_task, 1, 1, 0, false);
    while (result && !pp_ready(result)) {
        MUST(pp_poll(pool) >= 0);
        if (!pp_ready(result))
            poll(&fd, 1, -1);
    }
    judge(result, &(struct expected){ 0, 1, wrong_number, good });
    finish(pool, 0);
}

/* ---- Births ---- */

/* A replacement is a process that waits already. */
void run_spare(void)
{
    pp_pool *pool;

    stage->fork_takes_ns = 6000000;
    pool = POOL(.processes = 1);
    judge(map_async(pool, &die_pp_task, 4, 4, 0, false),
          &(struct expected){ 0, 4, wrong_number, dies });
    finish(pool, 1);
}

/* Only the first worker comes up. */
static int begin_once(void *nothing)
{
    (void)nothing;
    return atomic_fetch_add(&stage->called, 1) == 0 ? 0 : ENODEV;
}

static struct nature breaks(long id)
{
    return (struct nature){ .crashes = is_deadly(id), .signal = SIGKILL, .broken = true };
}

void run_broken(void)
{
    pp_pool *pool = POOL(.processes = 1, .initializer = begin_once);
    pp_result *result = map_async(pool, &die_pp_task, 4, 4, 0, false);

    if (result)
        judge(result, &(struct expected){ 0, 4, wrong_number, breaks });
    else
        MUST(errno == ENOTRECOVERABLE);
    MUST(pp_close(pool) == 0);
    MUST(pp_join(pool) == 0);
    check_empty(pool);
    MUST(pp_pool_free(pool) == 0);
}

static int never_begin(void *nothing)
{
    (void)nothing;
    return ENODEV;
}

void run_no_start(void)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .initializer = never_begin);

    MUST(!pool);
    MUST(errno == ENODEV ||
         (errno == ENOTRECOVERABLE && (was_killed(SUPERVISOR) || was_killed(WORKER))));
}
