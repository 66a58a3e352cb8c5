/* SPDX-License-Identifier: MIT */
/* Maps without .chunksize: the library chooses what a worker takes at a time.  What it
   chooses is tested in tests/unit; here, what a user can rely on. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

struct order {
    atomic_long next;
    atomic_long begun[]; /* by item: how many had begun before */
};

static pid_t worker_of(struct order *order, long x, long microseconds)
{
    order->begun[x] = atomic_fetch_add(&order->next, 1);
    if (microseconds)
        sleep_for(microseconds);
    return getpid();
}
PP_TASK(pid_t, worker_of, struct order *, order, long, x, long, microseconds);

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static void check_squares(pp_pool *pool, size_t count)
{
    long *items = calloc(count + 1, sizeof *items), *out = calloc(count + 1, sizeof *out);

    for (size_t i = 0; i < count; i++)
        items[i] = (long)i;
    out[count] = 42;
    CHECK_EQ(pp_map(pool, square, items, count, out), 0);
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(out[i], (long)(i * i));
    CHECK_EQ(out[count], 42);
    free(items);
    free(out);
}

TEST(each_small_count, .timeout = 60)
{
    for (int workers = 1; workers <= 8; workers = 2 * workers + 1) {
        pp_pool *pool = pool_of(workers);

        for (size_t count = 0; count <= 200; count++)
            check_squares(pool, count);
        finish(pool);
    }
}

TEST(large_counts, .timeout = 60)
{
    static const size_t counts[] = { 4095, 4096, 4097, 99991, 1000000 };
    pp_pool *pool = pool_of(3);

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_squares(pool, counts[i]);
    finish(pool);
}

struct map {
    size_t count;
    struct order *order;
    PP_ARGS(worker_of) *items;
    pid_t *out;
};

static struct map map_new(size_t count)
{
    struct map map = {
        .count = count,
        .order = shared_new(sizeof *map.order + count * sizeof(atomic_long)),
        .items = calloc(count, sizeof *map.items),
        .out = calloc(count, sizeof *map.out),
    };

    for (size_t i = 0; i < count; i++)
        map.items[i] = (PP_ARGS(worker_of)){ map.order, (long)i, 0 };
    return map;
}

static void map_free(struct map *map)
{
    shared_free(map->order, sizeof *map->order + map->count * sizeof(atomic_long));
    free(map->items);
    free(map->out);
}

/* With one worker items start in their order, in whatever chunks. */
TEST(order_of_starting)
{
    struct map map = map_new(5000);
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_starmap(pool, worker_of, map.items, map.count, map.out), 0);
    for (size_t i = 0; i < map.count; i++)
        CHECK_EQ(map.order->begun[i], i);
    finish(pool);
    map_free(&map);
}

/* With several, each worker's own items do. */
TEST(order_of_starting_in_each_worker)
{
    struct map map = map_new(20000);
    pp_pool *pool = pool_of(4);

    CHECK_EQ(pp_starmap(pool, worker_of, map.items, map.count, map.out), 0);
    for (size_t i = 1; i < map.count; i++)
        if (map.out[i] == map.out[i - 1])
            CHECK(map.order->begun[i] > map.order->begun[i - 1]);
    finish(pool);
    map_free(&map);
}

/* The work of the busiest worker, in microseconds. */
static long most_of(const struct map *map, long *all)
{
    long most = 0;

    *all = 0;
    for (size_t i = 0; i < map->count; i++) {
        long mine = 0;

        for (size_t j = 0; j < map->count; j++)
            mine += map->out[j] == map->out[i] ? map->items[j].microseconds : 0;
        most = mine > most ? mine : most;
        *all += map->items[i].microseconds;
    }
    return most;
}

/* Costs that differ are spread over the workers: no worker is left with most of the work.
   Chunks of n/workers would leave one with almost all of it. */
static void check_balance(const char *what, long (*cost)(size_t i, size_t count))
{
    enum { WORKERS = 4 };
    struct map map = map_new(400);
    pp_pool *pool;
    long most, all;

    for (size_t i = 0; i < map.count; i++)
        map.items[i].microseconds = cost(i, map.count);
    pool = pool_of(WORKERS);
    CHECK_EQ(pp_starmap(pool, worker_of, map.items, map.count, map.out), 0);
    most = most_of(&map, &all);
    printf("%s: the busiest of %d workers had %ld of %ld ms\n", what, WORKERS, most / 1000,
           all / 1000);
    CHECK(most < all * 6 / 10);
    finish(pool);
    map_free(&map);
}

static long last_quarter(size_t i, size_t count)
{
    return i >= count * 3 / 4 ? 5000 : 0;
}

static long growing(size_t i, size_t count)
{
    return (long)(i * 5000 / count);
}

static long last_ones(size_t i, size_t count)
{
    return i + 32 >= count ? 10000 : 10;
}

TEST(expensive_ones_last)
{
    check_balance("the last quarter is expensive", last_quarter);
    check_balance("growing costs", growing);
    check_balance("the last ones are expensive", last_ones);
}
