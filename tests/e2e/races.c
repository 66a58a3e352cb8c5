/* SPDX-License-Identifier: MIT */
/*
 * Tasks that end at the very moment when they are stopped: by their time limit, or
 * cancelled at random times.  Whoever comes first, each ends once and with what it may
 * end with; and what is not to be stopped is always right and has run just once, also
 * when it runs in the process that had run the other before.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

enum { WORKERS = 4 };

/* How a task passes its time. */
enum manner {
    ASLEEP,
    BUSY,
    HEEDFUL, /* returns early when it is told to by SIGTERM */
    DEAF,    /* is told, and goes on */
    CRASHING, /* at the end of the first two attempts */
};

/* What a task leaves to be seen. */
struct mark {
    atomic_int runs;
    atomic_int pid;
};

static volatile sig_atomic_t told;

static void tell(int signal)
{
    (void)signal;
    told = 1;
}

static void pass(enum manner manner, long microseconds)
{
    double end = harness_now() + (double)microseconds * 1e-6;

    while (harness_now() < end && !(manner == HEEDFUL && told))
        if (manner != BUSY)
            sleep_for(100);
}

static long work(struct mark *mark, enum manner manner, long microseconds, long x)
{
    told = 0;
    atomic_store(&mark->pid, getpid());
    atomic_fetch_add(&mark->runs, 1);
    if (manner == HEEDFUL || manner == DEAF)
        signal(SIGTERM, tell);
    pass(manner, microseconds);
    signal(SIGTERM, SIG_DFL);
    if (manner == CRASHING && pp_attempt() < 3)
        raise(SIGKILL);
    return 3 * x + 1;
}
PP_TASK(long, work, struct mark *, mark, enum manner, manner, long, microseconds, long, x);

/* Longer than any test: only to be stopped. */
#define ENDLESS (1000L * 1000 * 1000)

/* ---- Calls ------------------------------------------------------------------- */

struct call {
    struct mark *mark;
    pp_result *result;
    atomic_int ends; /* how often a callback was called */
    int may;         /* how it may end but well: PP_E..., or 0: not at all */
    int attempts;    /* that it needs to end well */
    bool endless;
    bool cancelled;
    bool checked;
};

struct race {
    size_t count;
    struct call *calls;
    struct mark *marks;
    pp_pool *pool;
    unsigned long seed;
    atomic_size_t stopped;
};

static struct race race_new(size_t count)
{
    struct race race = {
        .count = count,
        .calls = calloc(count, sizeof *race.calls),
        .marks = shared_new(count * sizeof *race.marks),
        .seed = choose_seed(),
    };

    for (size_t i = 0; i < count; i++)
        race.calls[i].mark = &race.marks[i];
    race.pool = pool_of(WORKERS);
    return race;
}

/* The pool is as strong as before. */
static void race_free(struct race *race)
{
    struct census census;

    printf("%zu of %zu were stopped\n", atomic_load(&race->stopped), race->count);
    CHECK_SOON(take_census(&census, WORKERS));
    finish(race->pool);
    shared_free(race->marks, race->count * sizeof *race->marks);
    free(race->calls);
}

static void count_end(pp_result *result, void *user)
{
    struct call *call = user;

    (void)result;
    atomic_fetch_add(&call->ends, 1);
}

static void submit(struct race *race, size_t i, enum manner manner, long microseconds,
                   pp_async_options options)
{
    struct call *call = &race->calls[i];

    options.size = sizeof options;
    options.callback = count_end;
    options.error_callback = count_end;
    options.user = call;
    call->endless = microseconds == ENDLESS;
    call->attempts = manner == CRASHING ? 3 : 1;
    call->result = pp_apply_async_with(
        race->pool, PP_CALL(work, call->mark, manner, microseconds, (long)i).call, &options);
    CHECK(call->result != NULL);
}

static void check_error(const pp_error *error, int code, const struct mark *mark)
{
    CHECK(error != NULL);
    if (error->kind == PP_CRASHED)
        FAIL("item %zu, run %d times: %s", error->index, atomic_load(&mark->runs),
             error->message);
    CHECK_EQ(error->kind, code == PP_ETIMELIMIT ? PP_TIMED_OUT : PP_CANCELLED);
    CHECK_STR(error->function, "work");
    if (atomic_load(&mark->runs) && (code == PP_ETIMELIMIT || error->pid))
        CHECK_EQ(error->pid, atomic_load(&mark->pid));
}

/* Waits for a call. */
static void check_call(struct race *race, size_t i)
{
    struct call *call = &race->calls[i];
    long value = 0;
    int code = pp_get(call->result, &value), runs = atomic_load(&call->mark->runs);

    if (code == 0) {
        CHECK_EQ(value, 3 * (long)i + 1);
        CHECK_EQ(runs, call->attempts);
        CHECK(!call->endless || call->cancelled); /* it may heed, and return */
    } else {
        CHECK_EQ(code, call->may);
        CHECK(runs <= call->attempts);
        check_error(pp_error_of(call->result), code, call->mark);
        if (!call->checked)
            atomic_fetch_add(&race->stopped, 1);
    }
    call->checked = true;
    CHECK_EQ(pp_failures(call->result), code != 0);
    CHECK_EQ(atomic_load(&call->ends), 1);
}

/* 1 to 3 ms. */
static long about_2_ms(struct race *race)
{
    return 1000 + (long)(next_random(&race->seed) % 2000);
}

/* Every other call has a limit just as long as it takes. */
static void run_limited(size_t count, double grace)
{
    struct race race = race_new(count);

    for (size_t i = 0; i < count; i++) {
        enum manner manner = (enum manner)(next_random(&race.seed) % 2);
        pp_async_options options = { 0 };
        long time = about_2_ms(&race);

        if (i % 2) {
            options.time_limit = 0.002;
            options.grace = grace;
            race.calls[i].may = PP_ETIMELIMIT;
            if (grace > 0)
                manner += HEEDFUL;
        }
        submit(&race, i, manner, manner == DEAF ? 2 * time : time, options);
    }
    for (size_t i = 0; i < count; i++)
        check_call(&race, i);
    CHECK(atomic_load(&race.stopped) > 0);
    race_free(&race);
}

TEST(calls_at_their_limit, .timeout = 1200)
{
    for (unsigned round = 0; round < rounds(1, 10); round++)
        run_limited(rounds(1500, 10000), 0);
}

TEST(calls_in_their_grace, .timeout = 1200)
{
    for (unsigned round = 0; round < rounds(1, 10); round++)
        run_limited(rounds(1500, 10000), 0.002);
}

/* ---- Calls that are cancelled ------------------------------------------------- */

/* Only few calls are open at a time, so that those cancelled may be anywhere. */
enum { OPEN = 3 * WORKERS };

static void cancel(struct race *race, size_t i)
{
    struct call *call = &race->calls[i];
    int code;

    if (call->may != PP_ECANCELLED)
        return;
    code = pp_cancel(call->result);
    CHECK(code == 0 || code == -EALREADY);
    if (code == 0)
        call->cancelled = true;
    else if (!call->cancelled)
        call->may = 0; /* it had ended by itself */
}

/* Those of [first, end) whose turn it is, each as one thread does it: every other call
   is cancelled once or more often, and one in eight would never end else. */
static void run_cancelled(struct race *race, size_t first, size_t end, double grace,
                          unsigned long seed)
{
    for (size_t i = first; i < end + OPEN; i++) {
        unsigned long random = next_random(&seed);
        long time = (long)(next_random(&seed) % 3000);
        enum manner manner = (enum manner)(random % 2);
        pp_async_options options = { .grace = grace };

        if (i < end) {
            if (random & 2) {
                race->calls[i].may = PP_ECANCELLED;
                manner += grace > 0 ? HEEDFUL : 0;
                time = random & 12 ? time : ENDLESS;
            }
            if (random & 16 && manner < HEEDFUL) {
                manner = CRASHING;
                options.retries = 2;
            }
            submit(race, i, manner, time, options);
        }
        if (next_random(&seed) % 2) {
            size_t at = i - next_random(&seed) % (i - first < OPEN ? i - first + 1 : OPEN);

            if (at < end)
                cancel(race, at);
        }
        if (i >= first + OPEN) {
            cancel(race, i - OPEN);
            if (random & 32)
                check_call(race, i - OPEN);
            else
                CHECK_EQ(pp_wait(race->calls[i - OPEN].result), 0);
        }
        if (random & 64)
            sleep_for((long)(next_random(&seed) % 1000));
    }
}

static void cancel_calls(size_t count, double grace)
{
    struct race race = race_new(count);

    run_cancelled(&race, 0, count, grace, race.seed);
    for (size_t i = 0; i < count; i++)
        check_call(&race, i);
    race_free(&race);
}

TEST(cancelled_calls, .timeout = 1200)
{
    for (unsigned round = 0; round < rounds(1, 10); round++)
        cancel_calls(rounds(1500, 10000), 0);
}

TEST(cancelled_calls_with_grace, .timeout = 1200)
{
    for (unsigned round = 0; round < rounds(1, 10); round++)
        cancel_calls(rounds(1500, 10000), 0.002);
}

struct part {
    struct race *race;
    size_t first, end;
    double grace;
};

static void *cancel_part(void *arg)
{
    const struct part *part = arg;

    run_cancelled(part->race, part->first, part->end, part->grace,
                  part->race->seed + part->first);
    return NULL;
}

TEST(cancelled_by_several_threads, .timeout = 1200)
{
    enum { THREADS = 4 };
    size_t each = rounds(400, 4000);
    struct race race = race_new(THREADS * each);
    struct part parts[THREADS];
    pthread_t threads[THREADS];

    for (size_t t = 0; t < THREADS; t++) {
        parts[t] = (struct part){ &race, t * each, (t + 1) * each, t % 2 ? 0.002 : 0 };
        CHECK_EQ(pthread_create(&threads[t], NULL, cancel_part, &parts[t]), 0);
    }
    for (size_t t = 0; t < THREADS; t++)
        CHECK_EQ(pthread_join(threads[t], NULL), 0);
    for (size_t i = 0; i < race.count; i++)
        check_call(&race, i);
    race_free(&race);
}

/* All of them are there, far more than fit into the queue, when it begins. */
TEST(cancelled_in_the_queue, .timeout = 1200)
{
    size_t count = rounds(6000, 20000);
    struct race race = race_new(count);

    for (size_t i = 0; i < count; i++) {
        race.calls[i].may = i % 8 ? PP_ECANCELLED : 0;
        submit(&race, i, ASLEEP, i % 16 ? 300 : 0, (pp_async_options){ 0 });
    }
    for (size_t left = count * 8; left; left--)
        cancel(&race, next_random(&race.seed) % count);
    for (size_t i = 0; i < count; i++)
        check_call(&race, i);
    race_free(&race);
}

/* ---- Maps --------------------------------------------------------------------- */

struct map {
    size_t count;
    struct mark *marks;
    PP_ARGS(work) *items;
    long *out;
    pp_result *result;
};

/* Must be made before the pool. */
static struct map map_new(size_t count)
{
    struct map map = {
        .count = count,
        .marks = shared_new(count * sizeof *map.marks),
        .items = calloc(count, sizeof *map.items),
        .out = calloc(count, sizeof *map.out),
    };

    for (size_t i = 0; i < count; i++)
        map.items[i] = (PP_ARGS(work)){ .mark = &map.marks[i], .x = (long)i };
    return map;
}

static void map_free(struct map *map)
{
    shared_free(map->marks, map->count * sizeof *map->marks);
    free(map->items);
    free(map->out);
}

/* Waits for it; each item has ended well, or as it may.  Returns how many did not. */
static size_t map_check(struct map *map, int may)
{
    size_t failures = 0;
    int code = pp_get(map->result, map->out);

    CHECK(code == 0 || code == may);
    for (size_t i = 0; i < map->count; i++) {
        const pp_error *error = pp_failure(map->result, failures);

        if (error && error->index == i) {
            failures++;
            CHECK(atomic_load(&map->marks[i].runs) <= 1);
            check_error(error, may, &map->marks[i]);
            CHECK_EQ(map->out[i], 0);
        } else {
            CHECK_EQ(atomic_load(&map->marks[i].runs), 1);
            CHECK_EQ(map->out[i], 3 * (long)i + 1);
        }
    }
    CHECK_EQ(pp_failures(map->result), failures);
    CHECK_EQ(code != 0, failures != 0);
    return failures;
}

/* A map whose items take as long as they may, and one without a limit at the same time. */
static void run_limited_map(size_t count, long chunksize, double grace)
{
    unsigned long seed = choose_seed();
    struct map limited = map_new(count), other = map_new(count);
    size_t stopped;
    pp_pool *pool;

    for (size_t i = 0; i < count; i++) {
        limited.items[i].microseconds = 1000 + (long)(next_random(&seed) % 2000);
        limited.items[i].manner = (enum manner)(next_random(&seed) % 2);
        limited.items[i].manner += grace > 0 ? HEEDFUL : 0;
        if (limited.items[i].manner == DEAF)
            limited.items[i].microseconds *= 2;
        other.items[i].microseconds = (long)(next_random(&seed) % 1000);
        other.items[i].manner = (enum manner)(next_random(&seed) % 2);
    }
    pool = pool_of(WORKERS);
    limited.result = pp_starmap_async(pool, work, limited.items, count, .chunksize = chunksize,
                                      .time_limit = 0.002, .grace = grace);
    other.result = pp_starmap_async(pool, work, other.items, count, .chunksize = chunksize);
    stopped = map_check(&limited, PP_ETIMELIMIT);
    printf("chunksize %ld: %zu of %zu were stopped\n", chunksize, stopped, count);
    CHECK(stopped > 0);
    CHECK_EQ(map_check(&other, 0), 0);
    finish(pool);
    map_free(&limited);
    map_free(&other);
}

TEST(maps_at_their_limit, .timeout = 1200)
{
    static const long sizes[] = { 0, 1, 5, 100 };

    for (unsigned round = 0; round < rounds(1, 10); round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            run_limited_map(rounds(300, 2500), sizes[i], 0);
}

TEST(maps_in_their_grace, .timeout = 1200)
{
    static const long sizes[] = { 0, 1, 5, 100 };

    for (unsigned round = 0; round < rounds(1, 10); round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            run_limited_map(rounds(300, 2500), sizes[i], 0.002);
}

/* One map after the other is cancelled at some time, while another one is not. */
TEST(cancelled_maps, .timeout = 1200)
{
    enum { COUNT = 50 };
    unsigned maps = rounds(100, 2000);
    unsigned long seed = choose_seed();
    struct map *all = calloc(maps, sizeof *all), other = map_new(20 * maps);
    size_t stopped = 0;
    pp_pool *pool;

    for (unsigned m = 0; m < maps; m++) {
        all[m] = map_new(COUNT);
        for (size_t i = 0; i < COUNT; i++)
            all[m].items[i].microseconds = (long)(next_random(&seed) % 1000);
        if (m % 4 == 0)
            all[m].items[next_random(&seed) % COUNT].microseconds = ENDLESS;
    }
    for (size_t i = 0; i < other.count; i++)
        other.items[i].microseconds = (long)(next_random(&seed) % 1000);
    pool = pool_of(WORKERS);
    other.result = pp_starmap_async(pool, work, other.items, other.count, .chunksize = 3);
    for (unsigned m = 0; m < maps; m++) {
        long chunksize = (long)(next_random(&seed) % 12);
        int code;

        all[m].result = pp_starmap_async(pool, work, all[m].items, COUNT,
                                         .chunksize = chunksize);
        sleep_for((long)(next_random(&seed) % 20000));
        code = pp_cancel(all[m].result);
        CHECK(code == 0 || (code == -EALREADY && m % 4));
        stopped += map_check(&all[m], PP_ECANCELLED);
    }
    printf("%zu of %u items were stopped\n", stopped, maps * COUNT);
    CHECK_EQ(map_check(&other, 0), 0);
    finish(pool);
    for (unsigned m = 0; m < maps; m++)
        map_free(&all[m]);
    map_free(&other);
    free(all);
}
