/* SPDX-License-Identifier: MIT */
/* In the client: what must hold, whoever was stopped or killed. */
#include "judge.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/client.h"
#include "internal.h"

enum { MOST_VALUES = 4096, ENOUGH_S = 1000 };

/* So many items have been lost for no other reason than that somebody was killed. */
static unsigned lost;

static struct harness_holdings *before;

/* ---- The client's life ---- */

_Noreturn static void end(void)
{
    atomic_store(&stage->ended, true);
    atomic_fetch_add(&stage->bell, 1);
    syscall(SYS_futex, &stage->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
    _exit(0);
}

_Noreturn void violated(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (!*stage->violation)
        vsnprintf(stage->violation, sizeof stage->violation, format, arguments);
    va_end(arguments);
    end(); /* the pool, too: its client is gone */
}

bool was_killed(enum role role)
{
    for (int which = FIRST; which < ORDERS; which++)
        if (stage->orders[which].action == KILL && stage->orders[which].role == role &&
            atomic_load(&stage->carried[which].pid) != 0)
            return true;
    return false;
}

static bool is_killed_worker(pid_t pid)
{
    for (int which = FIRST; which < ORDERS; which++)
        if (stage->orders[which].action == KILL && stage->orders[which].role == WORKER &&
            atomic_load(&stage->carried[which].pid) == pid)
            return true;
    return false;
}

static unsigned killed_workers(void)
{
    unsigned count = 0;

    for (int which = FIRST; which < ORDERS; which++)
        count += stage->orders[which].action == KILL && stage->orders[which].role == WORKER &&
                 atomic_load(&stage->carried[which].pid) != 0;
    return count;
}

static void check_nothing_left(void)
{
    char why[512];

    if (waitpid(-1, NULL, WNOHANG | __WALL) != -1 || errno != ECHILD)
        violated("a process is left when the pool is gone");
    if (harness_compare(before, why, sizeof why))
        violated("%s", why);
}

_Noreturn void be_client(const struct scenario *scenario)
{
    before = harness_take_stock();
    ppi_first_patience_ns = PPI_WITHOUT_DOUBT;
    scenario->run();
    check_nothing_left();
    end();
}

pp_pool *open_pool(const pp_pool_options *options)
{
    pp_pool *pool = pp_pool_new_with(options);

    if (pool)
        return pool;
    if (!was_killed(SUPERVISOR) && !was_killed(WORKER))
        violated("no pool: %s", strerrorname_np(errno));
    MUST(errno == ENOTRECOVERABLE);
    check_nothing_left();
    end();
}

/* ---- Items ---- */

struct nature good(long id)
{
    (void)id;
    return (struct nature){ .crashes = false };
}

long number(long id)
{
    atomic_fetch_add(&stage->runs[id % ITEMS], 1);
    return 5 * id + 3;
}
PP_TASK(long, number, long, id);
const pp_task *const number_task = &number_pp_task;

const char *wrong_number(long id, const void *values, size_t i)
{
    return ((const long *)values)[i] == 5 * id + 3 ? NULL : "another number";
}

static bool explains(const struct nature *nature, int code, const pp_error *error, long id)
{
    switch (code) {
    case PP_ERAISED:
        return nature->raises;
    case PP_ETIMELIMIT:
        return nature->endless || nature->timed;
    case PP_ECANCELLED:
        return nature->cancelled;
    case PP_EBROKEN:
        return nature->broken;
    case -ENOTRECOVERABLE:
        return was_killed(SUPERVISOR) || nature->broken;
    case PP_ECRASHED:
        if (was_killed(SUPERVISOR))
            return true;
        if (nature->crashes && (!error || error->signal == nature->signal))
            return true;
        lost++;
        return lost <= killed_workers() && atomic_load(&stage->runs[id % ITEMS]) <= 1 &&
               (!error || (error->signal == SIGKILL && is_killed_worker(error->pid)));
    default:
        return false;
    }
}

void judge_code(int code, const pp_error *error, long id, struct nature nature)
{
    unsigned runs = atomic_load(&stage->runs[id % ITEMS]);

    if (code != 0 && !explains(&nature, code, error, id))
        violated("item %ld ended with %d (%s), which nothing explains; it has run %u times; "
                 "%u lost",
                 id, code, error ? error->message : pp_strerror(code), runs, lost);
    if (code == 0 && (nature.endless || nature.raises || (nature.crashes && !nature.times)))
        violated("item %ld has succeeded, which cannot be", id);
    if (code == 0 && runs != 1 + nature.times)
        violated("item %ld has run %u times", id, runs);
    if (code != 0 && runs > 1 + nature.times)
        violated("item %ld, which failed, has run %u times", id, runs);
}

static int code_of(const pp_error *error)
{
    static const int codes[] = { 0,           PP_ERAISED,    PP_ECRASHED, PP_ETIMELIMIT,
                                 PP_ECANCELLED, PP_EBROKEN };

    return codes[error->kind];
}

void judge(pp_result *result, const struct expected *expected)
{
    static _Alignas(16) char values[MOST_VALUES * 64];
    size_t failure = 0;
    int code;

    if (!result) {
        MUST(errno == ENOTRECOVERABLE && was_killed(SUPERVISOR));
        return;
    }
    code = pp_get(result, values, .timeout = ENOUGH_S);
    MUST(code != -ETIMEDOUT);
    for (size_t i = 0; i < expected->count; i++) {
        long id = expected->first + (long)i;
        const pp_error *error = pp_failure(result, failure);
        const char *wrong;

        if (error && error->index == i) {
            failure++;
            judge_code(code_of(error), error, id, expected->nature(id));
            continue;
        }
        judge_code(0, NULL, id, expected->nature(id));
        wrong = expected->wrong(id, values, i);
        if (wrong)
            violated("item %ld: %s", id, wrong);
    }
    MUST(failure == pp_failures(result));
    MUST((code != 0) == (failure > 0));
    pp_result_free(result);
}

void await_begun(unsigned count, pp_result *result)
{
    while (atomic_load(&stage->begun) < count && result && !pp_ready(result))
        harness_nap();
}

/* ---- The pool afterwards ---- */

void works_on(pp_pool *pool)
{
    for (long id = ITEMS - 8; id < ITEMS; id++) {
        pp_error *error = NULL;
        long value = 0;
        int code = pp_apply(pool, PP_CALL(number, id), &value, .error = &error);

        judge_code(code, error, id, good(id));
        MUST(code != 0 || value == 5 * id + 3);
        free(error);
    }
}

/* What must hold of a seat whose worker lives, or which is empty. */
static void check_seat(const pp_pool *pool, unsigned seat)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);
    uint32_t announced = ppi_announced(pool, seat);

    if (announced == 0 || pool->released[seat] == announced ||
        atomic_load(&shm->incarnation) != announced)
        return;
    MUST(atomic_load(&shm->tail) == pool->taken[seat]);
    MUST(atomic_load(&pool->queue->shm->acks[seat].taken) == pool->taken[seat]);
}

static void check_arena(struct ppi_buddy *arena, size_t size)
{
    void *all = ppi_buddy_alloc(arena, size);

    MUST(all);
    ppi_buddy_free(arena, all);
}

void check_empty(pp_pool *pool)
{
    pp_stats stats = pp_stats_of(pool);

    MUST(stats.queued == 0 && stats.running == 0);
    pthread_mutex_lock(&pool->lock);
    MUST(pool->open == 0 && pool->used == 0);
    MUST(ppi_list_empty(&pool->backlog));
    for (size_t slot = 0; slot < PPI_WINDOW; slot++)
        MUST(!pool->flights[slot].result);
    if (!pool->gone) {
        for (unsigned seat = 0; seat < pool->queue->seats && !pool->lost; seat++)
            check_seat(pool, seat);
        check_arena(&pool->arena, pool->queue->arena_size);
    }
    pthread_mutex_unlock(&pool->lock);
}

static void check_deaths(pp_pool *pool, unsigned own)
{
    pp_stats stats = pp_stats_of(pool);

    if (was_killed(SUPERVISOR))
        return;
    MUST(stats.deaths >= lost);
    if (stats.deaths > own + killed_workers())
        violated("%zu deaths, of which %u are known", stats.deaths, own + killed_workers());
}

void finish(pp_pool *pool, unsigned deaths)
{
    works_on(pool);
    check_empty(pool);
    MUST(pp_close(pool) == 0);
    MUST(pp_join(pool, .timeout = ENOUGH_S) == 0);
    check_empty(pool);
    check_deaths(pool, deaths);
    MUST(pp_pool_free(pool) == 0);
}
