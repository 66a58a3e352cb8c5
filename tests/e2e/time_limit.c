/* SPDX-License-Identifier: MIT */
/* .time_limit: an item that takes too long is lost, and nothing else.  What happens when
   both end at the same moment is in races.c, what a grace period gives in grace.c. */
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

/* Ways not to end. */
enum way {
    FINE,
    SPIN,
    SLEEP,
    READ,        /* from a pipe that nobody writes to */
    IGNORE_TERM,
    BLOCK_TERM,
    STOP,        /* stopped by SIGSTOP, as by a debugger */
    CHILD,       /* waits for a child that does not end */
    SPIN_AND_MASK, /* with all signals blocked */
    WAYS,
};

struct mark {
    atomic_int runs;
    atomic_int pid;
    atomic_int terms; /* how often SIGTERM came */
};

static long read_for_ever(void)
{
    int fds[2];
    char byte;

    if (pipe(fds) != 0)
        abort();
    return read(fds[0], &byte, 1);
}

static void block(bool all)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (all)
        sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static struct mark *marked;

static void note_term(int signal)
{
    (void)signal;
    atomic_fetch_add(&marked->terms, 1);
}

static void stay(enum way way)
{
    if (way == READ)
        read_for_ever();
    if (way == IGNORE_TERM)
        signal(SIGTERM, note_term);
    if (way == BLOCK_TERM || way == SPIN_AND_MASK)
        block(way == SPIN_AND_MASK);
    if (way == STOP)
        raise(SIGSTOP);
    if (way == CHILD && system("sleep 1000") != 0)
        abort();
    while (way == SPIN || way == SPIN_AND_MASK)
        ;
    for (;;)
        pause();
}

static long stay_or_triple(struct mark *mark, enum way way, long x)
{
    marked = mark;
    atomic_store(&mark->pid, getpid());
    atomic_fetch_add(&mark->runs, 1);
    if (way != FINE)
        stay(way);
    return 3 * x + 1;
}
PP_TASK(long, stay_or_triple, struct mark *, mark, enum way, way, long, x);

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static long sleep_and_square(long microseconds, long x)
{
    sleep_for(microseconds);
    return x * x;
}
PP_TASK(long, sleep_and_square, long, microseconds, long, x);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

static void check_works(pp_pool *pool)
{
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 12), &value), 0);
    CHECK_EQ(value, 144);
}

static void check_error(const pp_error *error, size_t index, const struct mark *mark)
{
    CHECK(error != NULL);
    CHECK_EQ(error->kind, PP_TIMED_OUT);
    CHECK_EQ(error->code, 0);
    CHECK_EQ(error->signal, 0);
    CHECK_EQ(error->status, 0);
    CHECK_EQ(error->pid, atomic_load(&mark->pid));
    CHECK_EQ(error->index, index);
    CHECK_STR(error->function, "stay_or_triple");
    CHECK_HAS(error->message, "stay_or_triple");
}

/* ---- Calls ------------------------------------------------------------------- */

static void check_each_way(int workers, bool graceful)
{
    struct mark *marks = shared_new(WAYS * sizeof *marks);
    pp_pool *pool = pool_of(workers);

    for (int way = FINE + 1; way < WAYS; way++) {
        /* Who is to note a SIGTERM must have come so far, and must get to run before SIGKILL. */
        double limit = graceful && way == IGNORE_TERM ? 1.05 : 0.05;
        pp_error *error = NULL;
        long value = 42;

        CHECK_EQ(pp_apply(pool, PP_CALL(stay_or_triple, &marks[way], (enum way)way, 3), &value,
                          .time_limit = limit, .grace = graceful ? limit : 0, .error = &error),
                 PP_ETIMELIMIT);
        CHECK_EQ(value, 42);
        check_error(error, 0, &marks[way]);
        CHECK_HAS(error->message, ".05");
        CHECK_EQ(atomic_load(&marks[way].runs), 1);
        CHECK_SOON(!is_alive(error->pid));
        free(error);
        check_works(pool);
    }
    CHECK_EQ(atomic_load(&marks[IGNORE_TERM].terms), graceful);
    finish(pool);
    shared_free(marks, WAYS * sizeof *marks);
}

TEST(each_way_not_to_end)
{
    check_each_way(2, false);
}

TEST(each_way_not_to_end_with_one_worker)
{
    check_each_way(1, false);
}

TEST(each_way_not_to_end_with_grace)
{
    check_each_way(2, true);
}

TEST(others_go_on)
{
    enum { COUNT = 1000 };
    struct mark *mark = shared_new(sizeof *mark);
    pp_pool *pool = pool_of(2);
    long items[COUNT], out[COUNT];
    pp_result *result;

    for (long i = 0; i < COUNT; i++)
        items[i] = i;
    result = pp_apply_async(pool, PP_CALL(stay_or_triple, mark, SPIN, 1), .time_limit = 0.2);
    for (int round = 0; round < 20; round++) {
        CHECK_EQ(pp_map(pool, square, items, COUNT, out), 0);
        for (long i = 0; i < COUNT; i++)
            CHECK_EQ(out[i], i * i);
    }
    CHECK_EQ(pp_get(result, NULL), PP_ETIMELIMIT);
    check_error(pp_error_of(result), 0, mark);
    finish(pool);
    shared_free(mark, sizeof *mark);
}

/* Far more than there are workers, none of which comes back. */
TEST(many_that_do_not_end, .timeout = 60)
{
    enum { COUNT = 64, WORKERS = 8 };
    struct mark *marks = shared_new(COUNT * sizeof *marks);
    pp_result *results[COUNT];
    pp_pool *pool = pool_of(WORKERS);

    for (int i = 0; i < COUNT; i++)
        results[i] = pp_apply_async(
            pool, PP_CALL(stay_or_triple, &marks[i], (enum way)(SPIN + i % (WAYS - 1)), i),
            .time_limit = 0.001 * (1 + i % 7), .grace = i % 3 ? 0 : 0.01);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(pp_get(results[i], NULL), PP_ETIMELIMIT);
        CHECK(atomic_load(&marks[i].runs) <= 1); /* 0: it was stopped before it could count */
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL), 0);
    finish(pool);
    shared_free(marks, COUNT * sizeof *marks);
}

/* Not 0, however short: that would be no limit. */
TEST(shortest)
{
    static const double limits[] = { 1e-3, 1e-6, 1e-9, 1e-12, 1e-300, 5e-324 };
    struct mark *mark = shared_new(sizeof *mark);
    pp_pool *pool = pool_of(1);

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        CHECK_EQ(pp_apply(pool, PP_CALL(stay_or_triple, mark, SLEEP, 1), NULL,
                          .time_limit = limits[i]), PP_ETIMELIMIT);
    check_works(pool);
    finish(pool);
    shared_free(mark, sizeof *mark);
}

/* Those that are longer than any task are never over, in whatever unit they are kept. */
TEST(longest)
{
    static const double limits[] = { 1000, 4294967.296, 1e7,   1e9,      1e10,
                                     2e10, 1e18,        1e300, 1.0 / 0.0 };
    struct gate *gate = gate_new();
    long items[100] = { 3, 4 }, out[100];
    pp_pool *pool = pool_of(2);

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 5),
                                           .time_limit = limits[i], .grace = limits[i]);
        long value = 0;

        CHECK(result != NULL);
        CHECK_SOON(atomic_load(&gate->waiting) == (int)i + 1);
        CHECK_EQ(pp_map(pool, square, items, 100, out, .time_limit = limits[i],
                        .grace = limits[i]), 0);
        CHECK_EQ(out[1], 16);
        CHECK(!pp_ready(result));
        gate_open(gate);
        CHECK_EQ(pp_get(result, &value), 0);
        CHECK_EQ(value, 25);
        atomic_store(&gate->open, 0);
    }
    finish(pool);
    gate_free(gate);
}

TEST(never_hit, .timeout = 60)
{
    enum { COUNT = 20000 };
    pp_pool *pool = pool_of(2);
    long *items = calloc(COUNT, sizeof *items), *out = calloc(COUNT, sizeof *out), value;

    for (long i = 0; i < COUNT; i++)
        items[i] = i;
    for (long chunksize = 0; chunksize <= 1000; chunksize = 10 * chunksize + 1)
        CHECK_EQ(pp_map(pool, square, items, COUNT, out, .chunksize = chunksize,
                        .time_limit = 100), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(out[i], i * i);
    for (long i = 0; i < 2000; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(square, i), &value, .time_limit = 100), 0);
        CHECK_EQ(value, i * i);
    }
    finish(pool);
    free(items);
    free(out);
}

/* What waits in the queue for longer than its limit still gets all of it. */
TEST(time_in_the_queue)
{
    enum { CALLS = 10 };
    double limit = 0.5 * harness_time_factor(), end;
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *first = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1)), *calls[CALLS];
    pp_result *map;
    long items[100] = { 1 }, value = 0;

    for (long i = 0; i < CALLS; i++)
        calls[i] = pp_apply_async(pool, PP_CALL(square, i), .time_limit = limit);
    map = pp_map_async(pool, square, items, 100, .time_limit = limit);
    end = harness_now() + 2 * limit;
    while (harness_now() < end)
        CHECK_EQ(pp_wait(map, .timeout = end - harness_now()), -ETIMEDOUT);
    gate_open(gate);
    CHECK_EQ(pp_get(first, NULL), 0);
    for (long i = 0; i < CALLS; i++) {
        CHECK_EQ(pp_get(calls[i], &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_get(map, NULL), 0);
    finish(pool);
    gate_free(gate);
}

/* Ten calls of 50 ms, one after the other, take longer than each of them may. */
TEST(one_after_the_other)
{
    enum { CALLS = 10 };
    double limit = 0.4 * harness_time_factor();
    pp_pool *pool = pool_of(1);
    pp_result *calls[CALLS];

    for (long i = 0; i < CALLS; i++)
        calls[i] = pp_apply_async(pool, PP_CALL(sleep_and_square, 50000, i), .time_limit = limit);
    for (long i = 0; i < CALLS; i++)
        CHECK_EQ(pp_get(calls[i], NULL), 0);
    finish(pool);
}

/* ---- Maps -------------------------------------------------------------------- */

struct map {
    size_t count;
    struct mark *marks;
    PP_ARGS(stay_or_triple) *items;
    long *out;
};

static struct map map_new(size_t count)
{
    struct map map = {
        .count = count,
        .marks = shared_new(count * sizeof *map.marks),
        .items = calloc(count, sizeof *map.items),
        .out = calloc(count, sizeof *map.out),
    };

    for (size_t i = 0; i < count; i++)
        map.items[i] = (PP_ARGS(stay_or_triple)){ &map.marks[i], FINE, (long)i };
    return map;
}

static void map_free(struct map *map)
{
    shared_free(map->marks, map->count * sizeof *map->marks);
    free(map->items);
    free(map->out);
}

/* Just those that do not end are lost; each item ran once. */
static void map_check(const struct map *map, pp_result *result)
{
    size_t failures = 0;

    for (size_t i = 0; i < map->count; i++) {
        CHECK_EQ(atomic_load(&map->marks[i].runs), 1);
        if (map->items[i].way == FINE) {
            CHECK_EQ(map->out[i], 3 * (long)i + 1);
        } else {
            CHECK_EQ(map->out[i], 0);
            check_error(pp_failure(result, failures++), i, &map->marks[i]);
        }
    }
    CHECK_EQ(pp_failures(result), failures);
}

static void map_run(struct map *map, int workers, long chunksize, double grace, double limit)
{
    pp_pool *pool = pool_of(workers);
    pp_result *result = pp_starmap_async(pool, stay_or_triple, map->items, map->count,
                                         .chunksize = chunksize, .grace = grace,
                                         .time_limit = limit * harness_time_factor());

    CHECK_EQ(pp_get(result, map->out), PP_ETIMELIMIT);
    map_check(map, result);
    check_works(pool);
    finish(pool);
}

TEST(each_chunk_size, .timeout = 60)
{
    static const long sizes[] = { 0, 1, 3, 10, 99, 100, 1000 };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct map map = map_new(100);

        map.items[0].way = SLEEP;
        map.items[17].way = SPIN;
        map.items[18].way = READ;
        map.items[50 + i].way = STOP;
        map.items[99].way = IGNORE_TERM;
        map_run(&map, 1 + (int)i % 4, sizes[i], i % 2 ? 0.01 : 0, 0.2);
        map_free(&map);
    }
}

TEST(all_items)
{
    struct map map = map_new(12);

    for (size_t i = 0; i < map.count; i++)
        map.items[i].way = (enum way)(SPIN + i % (WAYS - 1));
    map_run(&map, 3, 4, 0, 0.2);
    map_free(&map);
}

TEST(three_of_a_hundred_thousand, .timeout = 60)
{
    struct map map = map_new(100000);

    map.items[0].way = SLEEP;
    map.items[54321].way = SPIN;
    map.items[99999].way = BLOCK_TERM;
    map_run(&map, 2, 0, 0, 2); /* the machine may stand still for a while in so many */
    map_free(&map);
}

/* A chunk may take longer than each of its items. */
TEST(anew_for_each_item)
{
    enum { COUNT = 12 };
    double limit = 0.8 * harness_time_factor();
    PP_ARGS(sleep_and_square) items[COUNT];
    pp_pool *pool = pool_of(1);
    long out[COUNT];

    for (long i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(sleep_and_square)){ .microseconds = (long)(limit * 1e5), .x = i };
    CHECK_EQ(pp_starmap(pool, sleep_and_square, items, COUNT, out, .chunksize = COUNT,
                        .time_limit = limit), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(out[i], i * i);
    finish(pool);
}
