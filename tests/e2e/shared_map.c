/* SPDX-License-Identifier: MIT */
/* Maps whose items or results lie in shared memory copy nothing. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

/* ---- Where a task finds its argument, and is to store its value ------------ */

/* A worker's view of one call. */
struct places {
    const void *args;
    const void *result;
    long item;
};

static void see_places(const void *args, void *result)
{
    const long *item = args;

    *(struct places *)result = (struct places){ args, result, *item };
}

static const pp_task places_task = {
    .size = sizeof(pp_task),
    .name = "see_places",
    .run = see_places,
    .args_size = sizeof(long),
    .result_size = sizeof(struct places),
    .result_kind = PP_VALUE_,
    .nparams = 1,
    .params = { { 0, PP_VALUE_ } },
};

enum { COUNT = 1000 };

static const long chunk_sizes[] = { 1, 7, COUNT, 0 };

static long *numbers(pp_pool *pool, size_t count)
{
    long *items = pp_shared_alloc(pool, count * sizeof *items);

    CHECK(items != NULL);
    for (size_t i = 0; i < count; i++)
        items[i] = (long)i;
    return items;
}

static void check_places(pp_pool *pool, const long *items, struct places *out, bool args_shared,
                         bool out_shared)
{
    for (size_t c = 0; c < sizeof chunk_sizes / sizeof *chunk_sizes; c++) {
        pp_map_options options = { .size = sizeof options, .chunksize = chunk_sizes[c] };

        memset(out, 0, COUNT * sizeof *out);
        CHECK_EQ(pp_map_with(pool, &places_task, items, COUNT, out, &options), 0);
        for (long i = 0; i < COUNT; i++) {
            CHECK_EQ(out[i].item, i);
            CHECK_EQ(out[i].args == (const void *)&items[i], args_shared);
            CHECK_EQ(out[i].result == (const void *)&out[i], out_shared);
        }
    }
}

TEST(nothing_is_copied)
{
    static struct places own[COUNT];
    static long own_items[COUNT];
    pp_pool *pool = pool_of(2);
    long *items = numbers(pool, COUNT);
    struct places *out = pp_shared_alloc(pool, COUNT * sizeof *out);

    for (long i = 0; i < COUNT; i++)
        own_items[i] = i;
    check_places(pool, items, out, true, true);
    check_places(pool, items, own, true, false);
    check_places(pool, own_items, out, false, true);
    check_places(pool, own_items, own, false, false);
    finish(pool);
}

TEST(anywhere_in_a_block)
{
    pp_pool *pool = pool_of(2);
    char *block = pp_shared_alloc(pool, 1 << 20);
    long *items = (long *)(void *)(block + 8);

    for (long i = 0; i < COUNT; i++)
        items[i] = i;
    check_places(pool, items, (struct places *)(void *)(block + 100008), true, true);
    for (size_t i = 0; i < 8; i++)
        CHECK_EQ(block[i], 0);
    for (size_t i = 8 + COUNT * sizeof(long); i < 100008; i++)
        CHECK_EQ(block[i], 0);
    for (size_t i = 100008 + COUNT * sizeof(struct places); i < 1 << 20; i++)
        CHECK_EQ(block[i], 0);
    finish(pool);
}

/* Items are read where they are, values go to memory of the result's. */
TEST(async)
{
    static struct places out[COUNT];
    pp_pool *pool = pool_of(2);
    long *items = numbers(pool, COUNT);

    for (size_t c = 0; c < sizeof chunk_sizes / sizeof *chunk_sizes; c++) {
        pp_map_async_options options = { .size = sizeof options, .chunksize = chunk_sizes[c] };
        pp_result *result = pp_map_async_with(pool, &places_task, items, COUNT, &options);

        CHECK_EQ(pp_get(result, out), 0);
        for (long i = 0; i < COUNT; i++) {
            CHECK_EQ(out[i].item, i);
            CHECK_EQ(out[i].args, &items[i]);
        }
        pp_result_free(result);
    }
    finish(pool);
}

/* The last of the region; and one item before its first, which is then copied. */
TEST(at_the_edges)
{
    static struct places out[2];
    pp_pool *pool = pool_of(1);
    char *all = NULL;
    long *items;
    size_t size;

    for (size = (size_t)1 << 46; size > 0 && !all; size /= 2)
        all = pp_shared_alloc(pool, size);
    size *= 2;
    items = (long *)(void *)(all + size) - 2;
    items[1] = 5;
    CHECK_EQ(pp_map_with(pool, &places_task, items, 2, out, NULL), 0);
    CHECK_EQ(out[1].args, &items[1]);
    CHECK_EQ(out[1].item, 5);
    items = (long *)(void *)all - 1; /* the client may read what lies there */
    items[1] = 6;
    CHECK_EQ(pp_map_with(pool, &places_task, items, 2, out, NULL), 0);
    CHECK(out[1].args != &items[1]);
    CHECK_EQ(out[1].item, 6);
    CHECK_EQ(pp_map_with(pool, &places_task, items, SIZE_MAX / 8, out, NULL), -ENOMEM);
    finish(pool);
}

/* To this pool it is memory like any other. */
TEST(of_another_pool)
{
    pp_pool *pool = pool_of(1), *other = pool_of(1);
    long *items = numbers(other, COUNT);

    check_places(pool, items, pp_shared_alloc(other, COUNT * sizeof(struct places)), false,
                 false);
    finish(pool);
    finish(other);
}

/* ---- Values ----------------------------------------------------------------- */

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

TEST(in_place_of_the_items)
{
    enum { MANY = 1000000 };
    pp_pool *pool = pool_of(2);
    long *items = numbers(pool, MANY);

    CHECK_EQ(pp_map(pool, square, items, MANY, items), 0);
    for (long i = 0; i < MANY; i++)
        CHECK_EQ(items[i], i * i);
    finish(pool);
}

TEST(in_place_of_the_items_in_chunks)
{
    pp_pool *pool = pool_of(2);
    long *items = numbers(pool, COUNT);

    for (size_t c = 0; c < sizeof chunk_sizes / sizeof *chunk_sizes; c++) {
        for (long i = 0; i < COUNT; i++)
            items[i] = i;
        CHECK_EQ(pp_map(pool, square, items, COUNT, items, .chunksize = chunk_sizes[c]), 0);
        for (long i = 0; i < COUNT; i++)
            CHECK_EQ(items[i], i * i);
    }
    finish(pool);
}

static char low_bits(char c)
{
    return (char)(c & 7);
}
PP_TASK(char, low_bits, char, c);

struct large {
    long values[20000]; /* larger than a run in the outbox */
};

static struct large enlarge(long x)
{
    struct large large;

    for (long i = 0; i < 20000; i++)
        large.values[i] = x + i;
    return large;
}
PP_TASK(struct large, enlarge, long, x);

TEST(values_of_all_sizes)
{
    enum { LARGE = 40 };
    pp_pool *pool = pool_of(2);
    struct large *large = pp_shared_alloc(pool, LARGE * sizeof *large);
    char *small = pp_shared_alloc(pool, COUNT);
    long *items = numbers(pool, LARGE);

    for (size_t c = 0; c < sizeof chunk_sizes / sizeof *chunk_sizes; c++) {
        for (int i = 0; i < COUNT; i++)
            small[i] = (char)i;
        CHECK_EQ(pp_map(pool, low_bits, small, COUNT, small, .chunksize = chunk_sizes[c]), 0);
        for (int i = 0; i < COUNT; i++)
            CHECK_EQ(small[i], i & 7);
        memset(large, 0, LARGE * sizeof *large);
        CHECK_EQ(pp_map(pool, enlarge, items, LARGE, large, .chunksize = chunk_sizes[c]), 0);
        for (long i = 0; i < LARGE; i++)
            CHECK(large[i].values[0] == i && large[i].values[19999] == i + 19999);
    }
    finish(pool);
}

static long add(long *sums, long x, short y)
{
    return sums[x] += y;
}
PP_TASK(long, add, long *, sums, long, x, short, y);

TEST(starmap)
{
    pp_pool *pool = pool_of(2);
    PP_ARGS(add) *items = pp_shared_alloc(pool, COUNT * sizeof *items);
    long *sums = numbers(pool, COUNT), *out = pp_shared_alloc(pool, COUNT * sizeof *out);

    for (long i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(add)){ sums, i, 5 };
    CHECK_EQ(pp_starmap(pool, add, items, COUNT, out), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK(out[i] == i + 5 && sums[i] == i + 5);
    CHECK_EQ(pp_get(pp_starmap_async(pool, add, items, COUNT), out), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK(out[i] == i + 10 && sums[i] == i + 10);
    finish(pool);
}

static void increment(long *at)
{
    ++*at;
}
PP_TASK(void, increment, long *, at);

TEST(without_results)
{
    pp_pool *pool = pool_of(2);
    long *values = numbers(pool, COUNT), **items = pp_shared_alloc(pool, COUNT * sizeof *items);

    for (long i = 0; i < COUNT; i++)
        items[i] = &values[i];
    CHECK_EQ(pp_map(pool, increment, items, COUNT, NULL), 0);
    CHECK_EQ(pp_map(pool, increment, items, COUNT, (void *)items), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(values[i], i + 2);
    CHECK_EQ(pp_map(pool, square, values, COUNT, NULL), 0);
    CHECK_EQ(pp_map(pool, square, values, 0, values), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(values[i], i + 2);
    finish(pool);
}

static const char *decorate(const char *text)
{
    char *copy = pp_reserve(strlen(text) + 3);

    sprintf(copy, "<%s>", text);
    return copy;
}
PP_TASK(const char *, decorate, const char *, text);

/* Strings are copied: what lies in shared memory is only where they are. */
TEST(strings_travel_as_ever)
{
    pp_pool *pool = pool_of(2);
    const char **items = pp_shared_alloc(pool, COUNT * sizeof *items);
    const char **out = pp_shared_alloc(pool, COUNT * sizeof *out);
    char text[16];

    for (long i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%ld", i);
        items[i] = strdup(text);
    }
    CHECK_EQ(pp_map(pool, decorate, items, COUNT, out), 0);
    for (long i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "<%ld>", i);
        CHECK_STR(out[i], text);
        free((char *)out[i]);
        free((char *)items[i]);
    }
    finish(pool);
}

/* Workers that retire in the middle of a chunk. */
TEST(few_items_per_worker)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 30);
    long *items;

    CHECK(pool != NULL);
    items = numbers(pool, COUNT);
    CHECK_EQ(pp_map(pool, square, items, COUNT, items, .chunksize = 100), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(items[i], i * i);
    finish(pool);
}

/* ---- Failures ----------------------------------------------------------------- */

/* Each 50th number raises, or kills its worker. */
static long square_some(long x)
{
    if (x % 100 == 17)
        pp_raise((int)x, "no");
    if (x % 100 == 67)
        raise(SIGSEGV);
    return x * x;
}
PP_TASK(long, square_some, long, x);

TEST(only_what_fails_is_lost, .timeout = 60)
{
    pp_pool *pool = pool_of(2);
    long *items = numbers(pool, COUNT), *out = pp_shared_alloc(pool, COUNT * sizeof *out);

    for (size_t c = 0; c < sizeof chunk_sizes / sizeof *chunk_sizes; c++) {
        pp_error *error = NULL;

        for (long i = 0; i < COUNT; i++)
            out[i] = -1;
        CHECK_EQ(pp_map(pool, square_some, items, COUNT, out, .chunksize = chunk_sizes[c],
                        .error = &error),
                 PP_ERAISED);
        CHECK(error && error->index == 17 && error->code == 17);
        free(error);
        for (long i = 0; i < COUNT; i++)
            CHECK_EQ(out[i], i % 50 == 17 ? -1 : i * i);
    }
    finish(pool);
}

TEST(only_what_fails_is_lost_in_place, .timeout = 60)
{
    pp_pool *pool = pool_of(2);
    long *items = numbers(pool, COUNT);

    for (size_t c = 0; c < sizeof chunk_sizes / sizeof *chunk_sizes; c++) {
        for (long i = 0; i < COUNT; i++)
            items[i] = i;
        CHECK_EQ(pp_map(pool, square_some, items, COUNT, items, .chunksize = chunk_sizes[c]),
                 PP_ERAISED);
        for (long i = 0; i < COUNT; i++)
            CHECK_EQ(items[i], i % 50 == 17 ? i : i * i);
    }
    finish(pool);
}

TEST(async_with_failures)
{
    static long out[COUNT];
    pp_pool *pool = pool_of(2);
    long *items = numbers(pool, COUNT);
    pp_result *result = pp_map_async(pool, square_some, items, COUNT, .chunksize = 100);

    for (long i = 0; i < COUNT; i++)
        out[i] = -1;
    CHECK_EQ(pp_get(result, out), PP_ERAISED);
    CHECK_EQ(pp_failures(result), COUNT / 50);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(out[i], i % 50 == 17 ? -1 : i * i);
    finish(pool);
}

/* ---- Ends in the middle ------------------------------------------------------- */

struct map {
    pp_pool *pool;
    struct gate *gate;
    long *out;
    int error;
};

static long wait_and_double(struct gate *gate, long x)
{
    if (x == 500)
        gate_wait(gate);
    return 2 * x;
}
PP_TASK(long, wait_and_double, struct gate *, gate, long, x);

static void *run_map(void *what)
{
    struct map *map = what;
    PP_ARGS(wait_and_double) *items = pp_shared_alloc(map->pool, COUNT * sizeof *items);

    for (long i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(wait_and_double)){ map->gate, i };
    map->error = pp_starmap(map->pool, wait_and_double, items, COUNT, map->out, .chunksize = COUNT);
    return NULL;
}

/* A map of one chunk, which has come to item 500; then its pool ends. */
static void end_in_the_middle(void (*end)(struct map *map), int error)
{
    struct map map = { .pool = pool_of(1) };
    pthread_t thread;

    map.gate = pp_shared_alloc(map.pool, sizeof *map.gate);
    map.out = pp_shared_alloc(map.pool, COUNT * sizeof *map.out);
    memset(map.out, 0xff, COUNT * sizeof *map.out);
    CHECK_EQ(pthread_create(&thread, NULL, run_map, &map), 0);
    CHECK_SOON(atomic_load(&map.gate->waiting) == 1);
    end(&map);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(map.error, error);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(map.out[i], i < 500 ? 2 * i : -1);
    CHECK_EQ(pp_pool_free(map.pool), 0);
}

static void terminate(struct map *map)
{
    CHECK_EQ(pp_terminate(map->pool), 0);
}

static void kill_supervisor(struct map *map)
{
    struct census census;

    (void)map;
    CHECK_SOON(take_census(&census, 1));
    CHECK_EQ(kill(census.supervisor, SIGKILL), 0);
}

TEST(terminated_in_the_middle)
{
    end_in_the_middle(terminate, PP_ECANCELLED);
}

TEST(supervisor_killed_in_the_middle)
{
    end_in_the_middle(kill_supervisor, PP_ECRASHED);
}

/* The dead worker had come to item 500 and had committed nothing: its successor goes on. */
TEST(worker_killed_in_the_middle)
{
    struct map map = { .pool = pool_of(1) };
    struct census census;
    pthread_t thread;

    map.gate = pp_shared_alloc(map.pool, sizeof *map.gate);
    map.out = pp_shared_alloc(map.pool, COUNT * sizeof *map.out);
    memset(map.out, 0xff, COUNT * sizeof *map.out);
    CHECK_EQ(pthread_create(&thread, NULL, run_map, &map), 0);
    CHECK_SOON(atomic_load(&map.gate->waiting) == 1);
    CHECK_SOON(take_census(&census, 1));
    CHECK_EQ(kill(census.workers[0], SIGKILL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(map.error, PP_ECRASHED);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(map.out[i], i == 500 ? -1 : 2 * i);
    finish(map.pool);
}

/* Of a result that nobody wants any more the items are still read where they are. */
TEST(forgotten_maps_run_on)
{
    pp_pool *pool = pool_of(2);
    long *values = numbers(pool, COUNT), **items = pp_shared_alloc(pool, COUNT * sizeof *items);

    for (long i = 0; i < COUNT; i++)
        items[i] = &values[i];
    pp_result_free(pp_map_async(pool, increment, items, COUNT, .chunksize = 10));
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(values[i], i + 1);
    CHECK_EQ(pp_pool_free(pool), 0);
}
