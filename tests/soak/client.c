/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "round.h"
#include "stock.h"

enum { MOST_THREADS = 4, MOST_OPEN = 8, SLOW_S = 15 };

struct thread {
    pthread_t thread;
    struct round *round;
    uint64_t random;
    struct order *open[MOST_OPEN];
};

/* ---- What a thread does ---- */

static void open_another(struct thread *thread, struct order **place)
{
    struct order *order = malloc(sizeof *order);

    MUST(order);
    if (!plan_order(thread->round, order, &thread->random) ||
        !submit(order, &thread->random)) {
        free(order);
        return;
    }
    if (once_in(&thread->random, 12))
        drop(order, false);
    else
        *place = order;
}

static void go_on(struct thread *thread)
{
    struct order **place = &thread->open[below(&thread->random, MOST_OPEN)];

    if (!*place) {
        open_another(thread, place);
        return;
    }
    settle(*place, &thread->random);
    *place = NULL;
}

static void resize(struct thread *thread)
{
    struct round *round = thread->round;
    int most = round->options.max_processes > 0 ? round->options.max_processes : 8;
    int code = pp_pool_resize(round->pool, 1 + (int)below(&thread->random, (unsigned)most));

    if (code != 0)
        check_refusal(round, code);
    else
        atomic_fetch_add(&scene->totals.resized, 1);
}

static void look_in(struct thread *thread)
{
    pp_worker_stats workers[64];
    pp_stats stats = pp_stats_of(thread->round->pool);

    MUST(stats.failed <= stats.done);
    for (size_t i = 0, n = pp_worker_stats_of(thread->round->pool, workers, 64);
         i < n && i < 64; i++)
        MUST(workers[i].id >= 0 && workers[i].incarnation >= 1);
    if (thread->round->options.callbacks == PP_CALLBACKS_POLL)
        MUST(pp_poll(thread->round->pool) >= -EDEADLK);
}

static void act(struct thread *thread)
{
    switch (below(&thread->random, 40)) {
    case 0:
    case 1:
        call_and_wait(thread->round, &thread->random);
        break;
    case 2:
    case 3:
        map_and_wait(thread->round, &thread->random);
        break;
    case 4:
        map_shared(thread->round, &thread->random);
        break;
    case 5:
    case 6:
    case 7:
        iterate(thread->round, &thread->random);
        break;
    case 8:
        resize(thread);
        break;
    case 9:
        look_in(thread);
        break;
    default:
        go_on(thread);
    }
}

static bool takes_more(const struct round *round)
{
    return !atomic_load(&round->over) && !atomic_load(&round->closing) &&
           !atomic_load(&scene->supervisor_killed) && atomic_load(&round->next) < ITEMS;
}

static void *work(void *user)
{
    struct thread *thread = user;

    while (takes_more(thread->round))
        act(thread);
    for (int i = 0; i < MOST_OPEN; i++)
        if (thread->open[i] && thread->round->ending == END_FREE)
            drop(thread->open[i], true);
        else if (thread->open[i])
            settle(thread->open[i], &thread->random);
    return NULL;
}

/* ---- The pool ---- */

static void on_death(const pp_death *death, void *user)
{
    struct round *round = user;
    struct mark *mark = mark_of(death->pid);
    double took = now() - atomic_load(&mark->when);

    MUST(death->message && death->worker >= 0 && death->incarnation >= 1);
    atomic_fetch_add(&round->told, 1);
    if (death->signal != SIGKILL || atomic_load(&mark->killed) != death->pid)
        return;
    atomic_fetch_add(&scene->totals.deaths, 1);
    if (round->options.callbacks == PP_CALLBACKS_THREAD && took > scene->totals.worst_answer)
        atomic_store(&scene->totals.worst_answer, took);
}

static void plan_pool(struct round *round, uint64_t *random)
{
    pp_pool_options *options = &round->options;

    options->size = sizeof *options;
    options->processes = 1 + (int)below(random, 8);
    options->max_processes = once_in(random, 2) ? 0 : options->processes + (int)below(random, 8);
    options->max_tasks_per_child = once_in(random, 4) ? 1 + below(random, 100) : 0;
    options->initializer = once_in(random, 3) ? initialize : NULL;
    options->finalizer = once_in(random, 4) ? finalize : NULL;
    options->finalizer_limit = 5;
    options->callbacks = once_in(random, 3) ? PP_CALLBACKS_POLL : PP_CALLBACKS_THREAD;
    options->spin = once_in(random, 4) ? PP_SPIN_NEVER : PP_SPIN_ADAPTIVE;
    options->start = once_in(random, 12) ? PP_SPAWN : PP_FORK;
    options->pin = once_in(random, 5);
    options->on_death = on_death;
    options->user = round;
}

static struct fury plan_fury(struct round *round, uint64_t *random)
{
    static const unsigned pauses[] = { 0, 200, 500, 1000, 2000, 5000 };
    struct fury fury = {
        .pause_us = pauses[once_in(random, 16) ? 0 : 1 + below(random, 5)],
        .fresh = below(random, 6),
        .spares = below(random, 4),
        .early = once_in(random, 12),
        .unbounded = once_in(random, 30),
        .supervisor_us = once_in(random, 12) ? 1 + below(random, 400000) : 0,
    };

    round->may_break = fury.unbounded || fury.early;
    return fury;
}

/* Forks take long: fewer are asked for, and in between the next spare is forked. */
static void lighten(struct round *round)
{
    if (scene->fury.pause_us > 0)
        scene->fury.pause_us = 60000;
    if (round->options.max_tasks_per_child > 0)
        round->options.max_tasks_per_child += 1000;
}

static void describe_plan(const struct round *round)
{
    const pp_pool_options *options = &round->options;
    const struct fury *fury = &scene->fury;

    snprintf(scene->plan, sizeof scene->plan,
             "%d to %d processes (start %d), %ld tasks per child, callbacks %d, pin %d, %u "
             "threads for %.2f s, ending %d, heavy %d; killed every %u us, %u fresh, early %d, "
             "unbounded %d, supervisor after %u us",
             options->processes, options->max_processes, options->start,
             options->max_tasks_per_child, options->callbacks, options->pin, round->threads,
             round->seconds, round->ending, round->heavy, fury->pause_us, fury->fresh,
             fury->early, fury->unbounded, fury->supervisor_us);
}

static void plan_round(struct round *round, uint64_t *random)
{
    memset(round, 0, sizeof *round);
    plan_pool(round, random);
    scene->fury = plan_fury(round, random);
    round->heavy = once_in(random, 120);
    if (round->heavy)
        lighten(round);
    round->threads = 1 + below(random, MOST_THREADS);
    round->ending = (enum ending)below(random, ENDINGS);
    round->seconds = once_in(random, 3) ? below(random, 100) * 1e-3 : below(random, 2500) * 1e-3;
    describe_plan(round);
}

/* ---- Checks at the end ---- */

/* After the pool has gone, when nothing can change any more. */
static void check_sums(struct round *round)
{
    pp_stats stats = pp_stats_of(round->pool);

    if (stats.queued != 0 || stats.running != 0 || stats.done < round->least ||
        stats.done > round->most || stats.failed < round->failed ||
        (!round->unseen && stats.failed != round->failed))
        WRONG("the sums are %zu queued, %zu running, %zu done, %zu failed; submitted were %lu "
              "to %lu, and %lu failures seen",
              stats.queued, stats.running, stats.done, stats.failed, round->least, round->most,
              round->failed);
    if (stats.deaths != round->told && !round->terminating &&
        !atomic_load(&scene->supervisor_killed) && !round->may_break)
        WRONG("%zu deaths, %lu told", stats.deaths, round->told);
}

static void check_items(const struct round *round)
{
    long count = atomic_load(&round->next);

    for (long id = 0; id < count && id < ITEMS; id++) {
        const struct item *item = &scene->items[id];

        if (atomic_load(&item->begun) > 1u + item->retries)
            WRONG("item %ld began %u times, of %u", id, item->begun, 1u + item->retries);
    }
    if (atomic_load(&scene->wrong) > 0)
        WRONG("%lu tasks found their arguments or attempts wrong", scene->wrong);
    if (round->lost > atomic_load(&scene->round_kills))
        WRONG("%lu items were lost to %lu kills", round->lost, scene->round_kills);
}

static void free_dropped(struct round *round)
{
    struct order *next;

    for (struct order *order = atomic_load(&round->dropped); order; order = next) {
        next = order->next;
        if (atomic_load(&order->called) > 1)
            WRONG("%d callbacks of one result that was freed", order->called);
        free(order);
    }
}

/* ---- Ballast ---- */

#define BALLAST ((size_t)2 << 30)

/* With so many pages, all of them the same page of zeros, forks are slow: there is a spare. */
static void *take_ballast(const struct round *round)
{
    volatile char *memory;

    if (!round->heavy)
        return NULL;
    memory = mmap(NULL, BALLAST, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL; /* then there is none */
    madvise((void *)memory, BALLAST, MADV_NOHUGEPAGE);
    memory[0] = 1; /* otherwise it would not be looked at */
    for (size_t i = 0; i < BALLAST; i += 4096)
        (void)memory[i];
    return (void *)memory;
}

static void drop_ballast(void *memory)
{
    if (memory)
        MUST(munmap(memory, BALLAST) == 0);
}

/* ---- A round ---- */

/* From now on nobody is killed. */
static void calm_down(void)
{
    atomic_store(&scene->stage, QUIET);
    while (atomic_load(&scene->killing))
        pause_us(10);
}

static bool open_pool(struct round *round)
{
    atomic_store(&scene->stage, CREATING);
    round->pool = pp_pool_new_with(&round->options);
    if (!round->pool) {
        if (errno != ENOTRECOVERABLE ||
            (!round->may_break && !atomic_load(&scene->supervisor_killed)))
            WRONG("no pool: %s", strerror(errno));
        atomic_fetch_add(&scene->totals.gave_up, 1);
        return false;
    }
    atomic_store(&scene->stage, OPEN);
    return true;
}

static void end_amid_work(struct round *round)
{
    if (round->ending == END_TERMINATE) {
        atomic_store(&round->terminating, true);
        atomic_store(&round->closing, true);
        MUST(pp_terminate(round->pool) == 0);
        atomic_fetch_add(&scene->totals.terminated, 1);
    } else if (round->ending == END_CLOSE) {
        atomic_store(&round->closing, true);
        MUST(pp_close(round->pool) == 0);
    }
    atomic_store(&round->over, true);
}

static void play(struct round *round, uint64_t *random)
{
    struct thread threads[MOST_THREADS] = { 0 };
    double end = now() + round->seconds;

    for (unsigned i = 0; i < round->threads; i++) {
        threads[i].round = round;
        threads[i].random = draw(random);
        MUST(pthread_create(&threads[i].thread, NULL, work, &threads[i]) == 0);
    }
    while (now() < end && takes_more(round))
        pause_us(1000);
    end_amid_work(round);
    for (unsigned i = 0; i < round->threads; i++)
        pthread_join(threads[i].thread, NULL);
    if (round->ending == END_JOIN)
        check_idle(round);
    if (round->ending != END_FREE) {
        atomic_store(&round->closing, true);
        MUST(pp_close(round->pool) == 0);
        MUST(pp_join(round->pool) == 0);
    }
}

static void reset_scene(uint64_t seed)
{
    memset(scene->items, 0, sizeof scene->items);
    memset(scene->marks, 0, sizeof scene->marks); /* numbers of processes come again */
    atomic_store(&scene->last, 0);
    atomic_store(&scene->supervisor_killed, false);
    atomic_store(&scene->round_kills, 0);
    atomic_store(&scene->round_seed, seed);
}

static void leave(struct round *round)
{
    calm_down();
    if (round->ending != END_FREE)
        check_sums(round);
    MUST(pp_pool_free(round->pool) == 0);
}

static void play_round(uint64_t seed)
{
    struct stock before = take_stock();
    uint64_t random = seed;
    double begun = now();
    struct round round;
    void *ballast;

    reset_scene(seed);
    plan_round(&round, &random);
    ballast = take_ballast(&round);
    if (open_pool(&round)) {
        play(&round, &random);
        leave(&round);
    }
    calm_down();
    check_items(&round);
    free_dropped(&round);
    drop_ballast(ballast);
    compare_stock(&before);
    if (atomic_load(&scene->supervisor_killed))
        atomic_fetch_add(&scene->totals.orphaned, 1);
    watch_memory(atomic_fetch_add(&scene->totals.rounds, 1));
    atomic_store(&scene->stage, FREED);
    while (atomic_load(&scene->stage) == FREED)
        pause_us(100);
    step();
    if (now() - begun > SLOW_S)
        fprintf(stderr, "soak: the round SEED=%llu took %.1f s: %s\n", (unsigned long long)seed,
                now() - begun, scene->plan);
}

void be_client(uint64_t seed, double seconds)
{
    double end = now() + seconds;

    do {
        play_round(seed);
        seed = draw(&(uint64_t){ seed });
    } while (now() < end && !atomic_load(&scene->stop));
}
