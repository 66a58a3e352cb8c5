/* SPDX-License-Identifier: MIT */
/*
 * Workers are killed from outside while a pool has work of all kinds.  Every item
 * has one outcome, which is its value or that it crashed, none has run twice, and
 * the pool works on.
 *
 * Kills come in three kinds.  Some hit a task: one that runs says so, the killer
 * chooses it, and it waits for its end.  Some hit a worker that has run something,
 * at any moment after that.  And a few hit just any worker; not many, for a pool
 * whose workers die before they have done anything gives up.
 */
#include <procpool.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "support.h"
#include "trials.h"

enum { WORKERS = 6, ITEMS = 1 << 25, OPEN = 48, MOST_IN_A_MAP = 120, TEXT = 40 };

/* What is shared with the workers. */
static struct {
    atomic_int target;        /* the pid of a worker that is in a task; negative: doomed */
    atomic_uchar runs[ITEMS]; /* per item, which all have numbers of their own */
} *scene;

/* ---- Tasks -------------------------------------------------------------------------- */

static void work(long id)
{
    int self = getpid(), none = 0;

    atomic_fetch_add(&scene->runs[id], 1);
    if (!atomic_compare_exchange_strong(&scene->target, &none, self))
        return;
    for (volatile unsigned i = 0; i < 2000;)
        i = i + 1;
    if (!atomic_compare_exchange_strong(&scene->target, &self, 0))
        for (;;)
            pause(); /* the killer has chosen this one */
}

static long number(long id)
{
    work(id);
    return 5 * id + 3;
}
PP_TASK(long, number, long, id);

static const char *text(long id)
{
    static char buffer[TEXT];

    work(id);
    snprintf(buffer, sizeof buffer, id % 2 ? "%ld" : "the text of item %ld", id);
    return buffer;
}
PP_TASK(const char *, text, long, id);

/* ---- The killer ----------------------------------------------------------------------- */

struct killer {
    atomic_bool stop;
    unsigned long seed;
    unsigned in_tasks, afterwards, anywhere;
    double last_anywhere;
};

/* The next that is in a task; 0 when it is time to stop. */
static pid_t await_target(const struct killer *killer)
{
    int pid = 0;

    while ((pid = atomic_load(&scene->target)) == 0 && !atomic_load(&killer->stop))
        sched_yield();
    return pid;
}

static void kill_in_task(struct killer *killer)
{
    int pid = await_target(killer);

    if (pid == 0 || !atomic_compare_exchange_strong(&scene->target, &pid, -pid))
        return;
    killer->in_tasks += kill(pid, SIGKILL) == 0; /* it may be dead already */
    atomic_store(&scene->target, 0);
}

static void kill_afterwards(struct killer *killer)
{
    int pid = await_target(killer);

    if (pid == 0)
        return;
    pass_time(next_random(&killer->seed) % 200);
    killer->afterwards += kill(pid, SIGKILL) == 0;
    atomic_compare_exchange_strong(&scene->target, &pid, 0);
}

/* Whoever it is, whatever it does. */
static void kill_anywhere(struct killer *killer)
{
    struct census census;

    take_census(&census, WORKERS);
    if (census.count == 0)
        return;
    killer->anywhere +=
        kill(census.workers[next_random(&killer->seed) % census.count], SIGKILL) == 0;
    killer->last_anywhere = harness_now();
}

static void *kill_workers(void *user)
{
    struct killer *killer = user;

    while (!atomic_load(&killer->stop)) {
        usleep((unsigned)(next_random(&killer->seed) % 3000));
        if (harness_now() - killer->last_anywhere > 1)
            kill_anywhere(killer);
        else if (next_random(&killer->seed) % 2)
            kill_in_task(killer);
        else
            kill_afterwards(killer);
    }
    return NULL;
}

/* ---- The work --------------------------------------------------------------------------- */

/* A call or a map whose items are numbered from first on. */
struct order {
    pp_result *result;
    bool of_texts;
    size_t count;
    long first;
    atomic_int called; /* callbacks */
};

struct tally {
    unsigned long orders, items, crashed;
};

static void on_end(pp_result *result, void *user)
{
    struct order *order = user;

    (void)result;
    atomic_fetch_add(&order->called, 1);
}

static void submit(pp_pool *pool, struct order *order, long first, unsigned long random)
{
    long ids[MOST_IN_A_MAP];

    order->of_texts = random & 1;
    order->first = first;
    order->count = random & 2 ? 1 : 1 + (random >> 2) % MOST_IN_A_MAP;
    atomic_store(&order->called, 0);
    for (size_t i = 0; i < order->count; i++)
        ids[i] = first + (long)i;
    if (order->count == 1)
        order->result = pp_apply_async_with(
            pool, order->of_texts ? PP_CALL(text, first).call : PP_CALL(number, first).call,
            &(pp_async_options){ .size = sizeof(pp_async_options),
                                 .callback = on_end,
                                 .error_callback = on_end,
                                 .user = order });
    else
        order->result = pp_map_async_with(
            pool, order->of_texts ? &text_pp_task : &number_pp_task, ids, order->count,
            &(pp_map_async_options){ .size = sizeof(pp_map_async_options),
                                     .chunksize = (long)(random >> 20) % 30,
                                     .callback = on_end,
                                     .error_callback = on_end,
                                     .user = order });
    CHECK(order->result != NULL);
}

static bool is_right(const struct order *order, const void *values, size_t i)
{
    long id = order->first + (long)i;
    char wanted[TEXT];

    if (!order->of_texts)
        return ((const long *)values)[i] == 5 * id + 3;
    snprintf(wanted, sizeof wanted, id % 2 ? "%ld" : "the text of item %ld", id);
    return strcmp(((const char *const *)values)[i], wanted) == 0;
}

static void check_order(struct order *order, struct tally *tally)
{
    long values[MOST_IN_A_MAP]; /* or pointers */
    int code = pp_get(order->result, values, .timeout = 20 * harness_time_factor());
    size_t failures = pp_failures(order->result), failure = 0;

    CHECK_EQ(code, failures ? PP_ECRASHED : 0);
    CHECK_EQ(atomic_load(&order->called), 1);
    for (size_t i = 0; i < order->count; i++) {
        const pp_error *error = pp_failure(order->result, failure);
        unsigned runs = atomic_load(&scene->runs[order->first + (long)i]);

        if (error && error->index == i) {
            CHECK_EQ(error->kind, PP_CRASHED);
            CHECK_EQ(error->signal, SIGKILL);
            CHECK(runs <= 1);
            failure++;
        } else {
            CHECK_EQ(runs, 1);
            CHECK(is_right(order, values, i));
        }
    }
    CHECK_EQ(failure, failures);
    tally->orders++;
    tally->items += order->count;
    tally->crashed += failures;
    pp_result_free(order->result);
}

/* Orders that are open at a time: many, or, every other while, one for which we wait. */
static size_t most_open(size_t submitted)
{
    return submitted / 256 % 2 == 0 ? OPEN : 1;
}

static struct tally work_for(pp_pool *pool, double seconds, unsigned long seed)
{
    static struct order orders[OPEN];
    struct tally tally = { 0 };
    double end = harness_now() + seconds;
    size_t submitted = 0, checked = 0;
    long next = 0;

    for (;;) {
        bool more = harness_now() < end && next < ITEMS - MOST_IN_A_MAP;

        if (more && submitted - checked < most_open(submitted)) {
            struct order *order = &orders[submitted++ % OPEN];

            submit(pool, order, next, next_random(&seed));
            next += (long)order->count;
        } else if (checked < submitted) {
            check_order(&orders[checked++ % OPEN], &tally);
        } else {
            return tally;
        }
    }
}

TEST(kills_from_outside, .timeout = 900)
{
    unsigned seconds = trials(5, 60);
    struct killer killer = { .seed = choose_seed() };
    struct census census;
    struct tally tally;
    pthread_t thread;
    pp_pool *pool;
    long value;

    scene = shared_new(sizeof *scene);
    pool = pool_of(WORKERS);
    CHECK_EQ(pthread_create(&thread, NULL, kill_workers, &killer), 0);
    tally = work_for(pool, seconds, killer.seed + 1);
    atomic_store(&killer.stop, true);
    pthread_join(thread, NULL);
    printf("%lu orders of %lu items, %lu crashed; killed: %u in a task, %u afterwards, %u "
           "anywhere\n",
           tally.orders, tally.items, tally.crashed, killer.in_tasks, killer.afterwards,
           killer.anywhere);
    CHECK(killer.in_tasks > 0 && killer.afterwards > 0 && killer.anywhere > 0);
    CHECK(tally.crashed > 0);
    CHECK(tally.crashed <= killer.in_tasks + killer.afterwards + killer.anywhere);
    for (long i = 0; i < 100; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(number, ITEMS - 1 - i), &value), 0);
        CHECK_EQ(value, 5 * (ITEMS - 1 - i) + 3);
    }
    CHECK_SOON(take_census(&census, WORKERS));
    finish(pool);
    shared_free(scene, sizeof *scene);
}
