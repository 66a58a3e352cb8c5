/* SPDX-License-Identifier: MIT */
/* .stop_on_error: when an item fails, those that have not begun are cancelled. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

enum way {
    FINE,
    RAISE,
    CRASH,
    EXCEED, /* its time limit */
    HOLD,   /* at the gate, then it ends well */
    PAUSE,  /* a moment, then it ends well */
    CRASH_ONCE,
};

/* What a test and its tasks share. */
struct board {
    struct gate gate;
    atomic_int runs[];
};

static void end(struct board *board, enum way way)
{
    if (way == RAISE)
        pp_raise(EDOM, "raised");
    if (way == CRASH || (way == CRASH_ONCE && pp_attempt() == 1))
        raise(SIGKILL);
    if (way == HOLD)
        gate_wait(&board->gate);
    if (way == PAUSE)
        sleep_for(200);
    while (way == EXCEED)
        pause();
}

static long triple(struct board *board, enum way way, long x)
{
    atomic_fetch_add(&board->runs[x], 1);
    end(board, way);
    return 3 * x + 1;
}
PP_TASK(long, triple, struct board *, board, enum way, way, long, x);

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

struct map {
    size_t count;
    struct board *board;
    PP_ARGS(triple) *items;
    long *out;
};

static struct map map_new(size_t count, enum way way)
{
    struct map map = {
        .count = count,
        .board = shared_new(sizeof *map.board + count * sizeof(atomic_int)),
        .items = calloc(count, sizeof *map.items),
        .out = calloc(count, sizeof *map.out),
    };

    for (size_t i = 0; i < count; i++)
        map.items[i] = (PP_ARGS(triple)){ map.board, way, (long)i };
    return map;
}

static void map_free(struct map *map)
{
    shared_free(map->board, sizeof *map->board + map->count * sizeof(atomic_int));
    free(map->items);
    free(map->out);
}

static int runs_of(const struct map *map, size_t i)
{
    return atomic_load(&map->board->runs[i]);
}

static size_t total_runs(const struct map *map)
{
    size_t runs = 0;

    for (size_t i = 0; i < map->count; i++)
        runs += (size_t)runs_of(map, i);
    return runs;
}

static pp_kind kind_for(enum way way)
{
    return way == RAISE ? PP_RAISED : way == CRASH ? PP_CRASHED : PP_TIMED_OUT;
}

/* What has run ended as it was to end, and what has not run was cancelled. */
static void map_check(struct map *map, pp_result *result)
{
    size_t failures = 0;

    CHECK_EQ(pp_wait(result), 0);
    pp_get(result, map->out);
    for (size_t i = 0; i < map->count; i++) {
        enum way way = map->items[i].way;
        bool fails = way == RAISE || way == CRASH || way == EXCEED;

        CHECK(runs_of(map, i) <= (way == CRASH_ONCE ? 2 : 1));
        if (runs_of(map, i) && !fails) {
            CHECK_EQ(map->out[i], 3 * (long)i + 1);
        } else {
            const pp_error *error = pp_failure(result, failures++);

            CHECK(error != NULL);
            CHECK_EQ(error->index, i);
            CHECK_EQ(error->kind, runs_of(map, i) ? kind_for(way) : PP_CANCELLED);
            CHECK_STR(error->function, "triple");
            CHECK_EQ(map->out[i], 0);
        }
    }
    CHECK_EQ(pp_failures(result), failures);
}

static int code_of(pp_kind kind)
{
    return kind == PP_RAISED ? PP_ERAISED : kind == PP_CRASHED ? PP_ECRASHED : PP_ETIMELIMIT;
}

/* What is reported as the map's error is the first item that failed by itself. */
static void check_cause(const struct map *map, pp_result *result)
{
    const pp_error *cause = NULL;

    for (size_t i = 0; !cause && i < map->count; i++)
        if (pp_failure(result, i)->kind != PP_CANCELLED)
            cause = pp_failure(result, i);
    CHECK_EQ(pp_get(result, NULL), code_of(cause->kind));
    CHECK_EQ(pp_error_of(result)->kind, cause->kind);
    CHECK_EQ(pp_error_of(result)->index, cause->index);
}

static const long sizes[] = { 1, 7, 100, 1000, 0 };
static const enum way ways[] = { RAISE, CRASH, EXCEED };

/* ---- One worker, which runs items in their order -------------------------------------- */

enum { COUNT = 200, FAILING = 50 };

/* The item after the one that fails may have begun, and none after that. */
static void check_in_order(enum way way, long chunksize)
{
    struct map map = map_new(COUNT, FINE);
    pp_pool *pool;
    pp_result *result;

    map.items[FAILING].way = way;
    map.items[FAILING + 1].way = HOLD;
    pool = pool_of(1);
    result = pp_starmap_async(pool, triple, map.items, COUNT, .chunksize = chunksize,
                              .stop_on_error = true,
                              .time_limit = way == EXCEED ? 0.1 * harness_time_factor() : 0);
    CHECK_SOON(pp_ready(result) || atomic_load(&map.board->gate.waiting));
    pp_ready(result); /* takes in what was before */
    gate_open(&map.board->gate);
    map_check(&map, result);
    for (size_t i = 0; i < COUNT; i++)
        CHECK_EQ(runs_of(&map, i), i <= FAILING || (i == FAILING + 1 && runs_of(&map, i)));
    CHECK_EQ(pp_get(result, NULL), code_of(kind_for(way)));
    CHECK_EQ(pp_error_of(result)->index, FAILING);
    finish(pool);
    map_free(&map);
}

TEST(raised)
{
    for (size_t s = 0; s < 5; s++)
        check_in_order(RAISE, sizes[s]);
}

TEST(crashed)
{
    for (size_t s = 0; s < 5; s++)
        check_in_order(CRASH, sizes[s]);
}

/* The item that is held is over its limit as well if it is held for too long. */
TEST(out_of_time)
{
    for (size_t s = 0; s < 5; s++) {
        struct map map = map_new(COUNT, PAUSE);
        pp_pool *pool;
        pp_error *error = NULL;

        map.items[FAILING].way = EXCEED;
        pool = pool_of(1);
        CHECK_EQ(pp_starmap(pool, triple, map.items, COUNT, map.out, .chunksize = sizes[s],
                            .stop_on_error = true, .error = &error,
                            .time_limit = 0.1 * harness_time_factor()),
                 PP_ETIMELIMIT);
        CHECK_EQ(error->index, FAILING);
        CHECK(total_runs(&map) >= FAILING + 1);
        for (size_t i = 0; i < COUNT; i++)
            CHECK_EQ(map.out[i], runs_of(&map, i) && i != FAILING ? 3 * (long)i + 1 : 0);
        free(error);
        finish(pool);
        map_free(&map);
    }
}

TEST(the_first_and_the_last)
{
    for (size_t way = 0; way < 3; way++)
        for (size_t at = 0; at < 20; at += 19) {
            struct map map = map_new(20, PAUSE);
            pp_pool *pool;
            pp_result *result;

            map.items[at].way = ways[way];
            pool = pool_of(1);
            result = pp_starmap_async(pool, triple, map.items, 20, .chunksize = 20,
                                      .stop_on_error = true,
                                      .time_limit = 0.2 * harness_time_factor());
            map_check(&map, result);
            CHECK_EQ(pp_get(result, NULL), code_of(kind_for(ways[way])));
            if (at == 19)
                CHECK_EQ(pp_failures(result), 1);
            finish(pool);
            map_free(&map);
        }
}

TEST(no_error)
{
    for (size_t s = 0; s < 5; s++) {
        struct map map = map_new(1000, FINE);
        pp_pool *pool = pool_of(2);
        pp_result *result = pp_starmap_async(pool, triple, map.items, 1000,
                                             .chunksize = sizes[s], .stop_on_error = true);

        CHECK_EQ(pp_get(result, NULL), 0);
        map_check(&map, result);
        CHECK_EQ(total_runs(&map), 1000);
        finish(pool);
        map_free(&map);
    }
}

/* One that crashes and is retried with success is no error. */
TEST(retried)
{
    for (size_t s = 0; s < 5; s++) {
        struct map map = map_new(100, FINE);
        pp_pool *pool;
        pp_result *result;

        for (size_t i = 0; i < 100; i += 9)
            map.items[i].way = CRASH_ONCE;
        pool = pool_of(2);
        result = pp_starmap_async(pool, triple, map.items, 100, .chunksize = sizes[s],
                                  .stop_on_error = true, .retries = 1);
        CHECK_EQ(pp_get(result, NULL), 0);
        map_check(&map, result);
        CHECK_EQ(total_runs(&map), 112);
        finish(pool);
        map_free(&map);
    }
}

/* ---- Several workers ------------------------------------------------------------------- */

/* One worker is held in the first chunk when an item of the second one fails: the rest of
   the first is cancelled, too.  Its indexes are lower, but it is not the cause. */
TEST(chunks_of_other_workers)
{
    enum { CHUNK = 10, FAILED = CHUNK + 2 };

    for (size_t way = 0; way < 2; way++) {
        struct map map = map_new(COUNT, FINE);
        pp_pool *pool;
        pp_result *result, *after;

        map.items[0].way = HOLD;
        map.items[FAILED].way = ways[way];
        pool = pool_of(2);
        result = pp_starmap_async(pool, triple, map.items, COUNT, .chunksize = CHUNK,
                                  .stop_on_error = true);
        after = pp_apply_async(pool, PP_CALL(square, 7));
        CHECK_SOON(atomic_load(&map.board->gate.waiting) == 1);
        CHECK_EQ(pp_get(after, NULL), 0); /* by then the failure is known */
        gate_open(&map.board->gate);
        map_check(&map, result);
        CHECK_EQ(map.out[0], 1);
        for (size_t i = 1; i < CHUNK; i++)
            CHECK_EQ(runs_of(&map, i), 0);
        CHECK_EQ(pp_failure(result, 0)->index, 1);
        CHECK_EQ(pp_failure(result, 0)->kind, PP_CANCELLED);
        check_cause(&map, result);
        CHECK_EQ(pp_error_of(result)->index, FAILED);
        finish(pool);
        map_free(&map);
    }
}

/* What runs is not stopped. */
TEST(running_items_end_well)
{
    enum { WORKERS = 4 };
    struct map map = map_new(COUNT, FINE);
    pp_pool *pool;
    pp_result *result;

    for (size_t i = 0; i < WORKERS - 1; i++)
        map.items[i].way = HOLD;
    map.items[WORKERS - 1].way = RAISE;
    pool = pool_of(WORKERS);
    result = pp_starmap_async(pool, triple, map.items, COUNT, .chunksize = 1,
                              .stop_on_error = true);
    CHECK_SOON(atomic_load(&map.board->gate.waiting) == WORKERS - 1 &&
               runs_of(&map, WORKERS - 1) == 1);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 7), NULL), 0);
    CHECK(!pp_ready(result));
    gate_open(&map.board->gate);
    map_check(&map, result);
    CHECK_EQ(pp_get(result, map.out), PP_ERAISED);
    for (long i = 0; i < WORKERS - 1; i++)
        CHECK_EQ(map.out[i], 3 * i + 1);
    finish(pool);
    map_free(&map);
}

/* Wherever items fail, in whatever way, and however many at the same time. */
TEST(anywhere, .timeout = 120)
{
    unsigned long seed = choose_seed();

    for (unsigned round = 0; round < rounds(30, 300); round++) {
        struct map map = map_new(COUNT, next_random(&seed) % 2 ? FINE : PAUSE);
        pp_result *result, *other;
        long items[COUNT], out[COUNT];
        pp_pool *pool;

        for (unsigned long failing = 1 + next_random(&seed) % 5; failing; failing--)
            map.items[next_random(&seed) % COUNT].way = ways[next_random(&seed) % 3];
        for (long i = 0; i < COUNT; i++)
            items[i] = i;
        pool = pool_of(1 + (int)(round % 4));
        result = pp_starmap_async(pool, triple, map.items, COUNT,
                                  .chunksize = (long)(next_random(&seed) % 30),
                                  .stop_on_error = true,
                                  .time_limit = 0.1 * harness_time_factor());
        other = pp_map_async(pool, square, items, COUNT, .chunksize = 3);
        map_check(&map, result);
        check_cause(&map, result);
        CHECK_EQ(pp_get(other, out), 0); /* it has nothing to do with it */
        for (long i = 0; i < COUNT; i++)
            CHECK_EQ(out[i], i * i);
        finish(pool);
        map_free(&map);
    }
}

/* ---- Large maps, and how they are told ------------------------------------------------- */

/* Most of it is not even in the queue yet. */
TEST(backlog, .timeout = 60)
{
    enum { MANY = 100000 };
    struct map map = map_new(MANY, FINE);
    pp_pool *pool;
    pp_result *result, *after;

    map.items[10].way = RAISE;
    pool = pool_of(2);
    result = pp_starmap_async(pool, triple, map.items, MANY, .chunksize = 1,
                              .stop_on_error = true);
    after = pp_apply_async(pool, PP_CALL(square, 3));
    map_check(&map, result);
    printf("%zu of %d items were run\n", total_runs(&map), MANY);
    CHECK(total_runs(&map) < MANY);
    CHECK_EQ(pp_get(after, NULL), 0);
    finish(pool);
    map_free(&map);
}

/* A map that waits: the failed item is known while the others would take far longer. */
TEST(large_maps, .timeout = 120)
{
    enum { MANY = 50000 };

    for (size_t s = 0; s < 5; s++) {
        struct map map = map_new(MANY, PAUSE);
        pp_error *error = NULL;
        pp_pool *pool;

        map.items[3].way = RAISE;
        pool = pool_of(1);
        CHECK_EQ(pp_starmap(pool, triple, map.items, MANY, map.out, .chunksize = sizes[s],
                            .stop_on_error = true, .error = &error),
                 PP_ERAISED);
        CHECK_EQ(error->index, 3);
        CHECK_EQ(error->code, EDOM);
        CHECK(total_runs(&map) < MANY);
        for (size_t i = 0; i < MANY; i++)
            CHECK_EQ(map.out[i], runs_of(&map, i) && i != 3 ? 3 * (long)i + 1 : 0);
        free(error);
        finish(pool);
        map_free(&map);
    }
}

struct seen {
    atomic_int calls;
    atomic_int errors;
    int code;
};

static void count_call(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add(&((struct seen *)user)->calls, 1);
}

static void count_error(pp_result *result, void *user)
{
    struct seen *seen = user;

    seen->code = pp_get(result, NULL);
    atomic_fetch_add(&seen->errors, 1);
}

static void check_callback(pp_callbacks mode)
{
    struct map map = map_new(COUNT, PAUSE);
    struct seen seen = { 0 };
    pp_result *result;
    pp_pool *pool;

    map.items[5].way = map.items[6].way = map.items[100].way = RAISE;
    pool = pp_pool_new(.processes = 1, .callbacks = mode);
    result = pp_starmap_async(pool, triple, map.items, COUNT, .chunksize = 3,
                              .stop_on_error = true, .callback = count_call,
                              .error_callback = count_error, .user = &seen);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(seen.code, PP_ERAISED);
    CHECK_EQ(atomic_load(&seen.errors), 1);
    map_check(&map, result);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.errors), 1);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    map_free(&map);
}

TEST(error_callback)
{
    check_callback(PP_CALLBACKS_THREAD);
    check_callback(PP_CALLBACKS_POLL);
}
