/* SPDX-License-Identifier: MIT */
/* .retries: what crashes is run again, so often and no more; pp_attempt() counts along. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum way { SEGV, KILLED, EXIT_0, EXIT_3, RAISES, STAYS, WAYS };

/* What the attempts at an item have left. */
struct mark {
    atomic_int runs;
    atomic_int out_of_order; /* attempts that were not told their number */
    atomic_int pid;          /* of the last */
};

static void end(enum way way)
{
    volatile int *volatile nowhere = NULL;

    if (way == SEGV)
        *nowhere = 1;
    if (way == KILLED)
        raise(SIGKILL);
    if (way == EXIT_0)
        exit(0);
    if (way == EXIT_3)
        _exit(3);
    if (way == RAISES)
        pp_raise(EDOM, "attempt %d", pp_attempt());
    while (way == STAYS)
        pause();
}

static void note(struct mark *mark)
{
    atomic_store(&mark->pid, getpid());
    if (pp_attempt() != atomic_fetch_add(&mark->runs, 1) + 1)
        atomic_fetch_add(&mark->out_of_order, 1);
}

/* Crashes so often, then ends well. */
static long crash_and_triple(struct mark *mark, int crashes, enum way way, long x)
{
    note(mark);
    if (pp_attempt() <= crashes)
        end(way);
    return 3 * x + 1;
}
PP_TASK(long, crash_and_triple, struct mark *, mark, int, crashes, enum way, way, long, x);

/* Crashes so often, then ends in this other way. */
static void crash_and_end(struct mark *mark, int crashes, enum way way)
{
    note(mark);
    end(pp_attempt() <= crashes ? KILLED : way);
}
PP_TASK(void, crash_and_end, struct mark *, mark, int, crashes, enum way, way);

static int attempt(void)
{
    return pp_attempt();
}
PP_TASK(int, attempt);

static int attempt_of(int x)
{
    return pp_attempt() + x;
}
PP_TASK(int, attempt_of, int, x);

static struct mark *mark_new(void)
{
    return shared_new(sizeof(struct mark));
}

static void mark_free(struct mark *mark)
{
    shared_free(mark, sizeof *mark);
}

static void mark_check(const struct mark *mark, int runs)
{
    CHECK_EQ(atomic_load(&mark->runs), runs);
    CHECK_EQ(atomic_load(&mark->out_of_order), 0);
}

/* ---- Calls ------------------------------------------------------------------- */

static void check_call(int workers, enum way way)
{
    struct mark *mark = mark_new();
    pp_pool *pool = pool_of(workers);

    for (int crashes = 0; crashes <= 4; crashes++)
        for (int retries = 0; retries <= 4; retries++) {
            bool ends_well = crashes <= retries;
            pp_error *error = NULL;
            long value = 0;

            *mark = (struct mark){ 0 };
            CHECK_EQ(pp_apply(pool, PP_CALL(crash_and_triple, mark, crashes, way, 2), &value,
                              .retries = retries, .error = &error),
                     ends_well ? 0 : PP_ECRASHED);
            mark_check(mark, 1 + (ends_well ? crashes : retries));
            CHECK_EQ(value, ends_well ? 7 : 0);
            if (ends_well)
                continue;
            CHECK_EQ(error->kind, PP_CRASHED);
            CHECK_EQ(error->signal, way == SEGV ? SIGSEGV : way == KILLED ? SIGKILL : 0);
            CHECK_EQ(error->status, way == EXIT_3 ? 3 : 0);
            CHECK_EQ(error->pid, atomic_load(&mark->pid)); /* of the last attempt */
            free(error);
        }
    finish(pool);
    mark_free(mark);
}

TEST(crashes_and_retries, .timeout = 60)
{
    check_call(1, SEGV);
    check_call(2, KILLED);
    check_call(3, EXIT_0);
    check_call(1, EXIT_3);
}

TEST(many_attempts, .timeout = 60)
{
    struct mark *mark = mark_new();
    pp_pool *pool = pool_of(2);
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(crash_and_triple, mark, 300, KILLED, 2), &value,
                      .retries = 65535), 0);
    CHECK_EQ(value, 7);
    mark_check(mark, 301);
    finish(pool);
    mark_free(mark);
}

/* More crashes in a row than may happen outside of tasks. */
TEST(does_not_break_the_pool, .timeout = 60)
{
    enum { CALLS = 40 };
    struct mark *marks = shared_new(CALLS * sizeof *marks);
    pp_pool *pool = pool_of(2);
    pp_result *results[CALLS];
    int value = 0;

    for (int i = 0; i < CALLS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(crash_and_triple, &marks[i], 100, KILLED, i),
                                    .retries = 4);
    for (int i = 0; i < CALLS; i++) {
        CHECK_EQ(pp_get(results[i], NULL), PP_ECRASHED);
        CHECK_EQ(pp_failures(results[i]), 1);
        mark_check(&marks[i], 5);
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(attempt), &value), 0);
    CHECK_EQ(value, 1);
    finish(pool);
    shared_free(marks, CALLS * sizeof *marks);
}

static void check_other_end(enum way way, int crashes, int code)
{
    struct mark *mark = mark_new();
    pp_pool *pool = pool_of(2);
    pp_error *error = NULL;
    char message[32];

    CHECK_EQ(pp_apply(pool, PP_CALL(crash_and_end, mark, crashes, way), NULL, .retries = 5,
                      .time_limit = 0.1 * harness_time_factor(), .error = &error),
             code);
    mark_check(mark, crashes + 1);
    CHECK_EQ(error->pid, atomic_load(&mark->pid));
    if (code == PP_ERAISED) {
        snprintf(message, sizeof message, "attempt %d", crashes + 1);
        CHECK_STR(error->message, message);
    }
    free(error);
    finish(pool);
    mark_free(mark);
}

TEST(raised_is_not_retried)
{
    check_other_end(RAISES, 0, PP_ERAISED);
    check_other_end(RAISES, 2, PP_ERAISED);
}

TEST(out_of_time_is_not_retried)
{
    check_other_end(STAYS, 0, PP_ETIMELIMIT);
    check_other_end(STAYS, 2, PP_ETIMELIMIT);
}

static long sleep_and_crash(struct mark *mark, long microseconds)
{
    note(mark);
    sleep_for(microseconds);
    if (pp_attempt() <= 3)
        raise(SIGKILL);
    return microseconds;
}
PP_TASK(long, sleep_and_crash, struct mark *, mark, long, microseconds);

/* All attempts together take longer than each of them may. */
TEST(time_limit_of_each_attempt)
{
    double limit = 0.8 * harness_time_factor();
    struct mark *mark = mark_new();
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_apply(pool, PP_CALL(sleep_and_crash, mark, (long)(limit * 3e5)), NULL,
                      .retries = 3, .time_limit = limit), 0);
    mark_check(mark, 4);
    finish(pool);
    mark_free(mark);
}

/* Whoever ends the process, it is a crash. */
TEST(killed_from_outside)
{
    struct mark *mark = mark_new();
    pp_pool *pool = pool_of(2);
    pp_result *result =
        pp_apply_async(pool, PP_CALL(crash_and_triple, mark, 3, STAYS, 2), .retries = 3);
    long value = 0;

    for (int i = 1; i <= 3; i++) {
        CHECK_SOON(atomic_load(&mark->runs) == i);
        CHECK_EQ(kill(atomic_load(&mark->pid), SIGKILL), 0);
    }
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 7);
    mark_check(mark, 4);
    finish(pool);
    mark_free(mark);
}

struct seen {
    atomic_int calls;
    atomic_int errors;
};

static void count_call(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add(&((struct seen *)user)->calls, 1);
}

static void count_error(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add(&((struct seen *)user)->errors, 1);
}

/* Only what becomes of it in the end is told. */
TEST(callbacks)
{
    struct mark *marks = shared_new(2 * sizeof *marks);
    struct seen good = { 0 }, bad = { 0 };
    pp_pool *pool = pool_of(2);

    CHECK(pp_apply_async(pool, PP_CALL(crash_and_triple, &marks[0], 2, SEGV, 1), .retries = 2,
                         .callback = count_call, .error_callback = count_error, .user = &good));
    CHECK(pp_apply_async(pool, PP_CALL(crash_and_triple, &marks[1], 3, SEGV, 1), .retries = 2,
                         .callback = count_call, .error_callback = count_error, .user = &bad));
    finish(pool);
    CHECK_EQ(atomic_load(&good.calls), 1);
    CHECK_EQ(atomic_load(&good.errors), 0);
    CHECK_EQ(atomic_load(&bad.calls), 0);
    CHECK_EQ(atomic_load(&bad.errors), 1);
    mark_check(&marks[0], 3);
    mark_check(&marks[1], 3);
    shared_free(marks, 2 * sizeof *marks);
}

/* ---- Maps -------------------------------------------------------------------- */

struct map {
    size_t count;
    struct mark *marks;
    PP_ARGS(crash_and_triple) *items;
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
        map.items[i] = (PP_ARGS(crash_and_triple)){ &map.marks[i], 0, (enum way)(i % 4), (long)i };
    return map;
}

static void map_free(struct map *map)
{
    shared_free(map->marks, map->count * sizeof *map->marks);
    free(map->items);
    free(map->out);
}

static void map_run(struct map *map, pp_pool *pool, long chunksize, int retries)
{
    pp_result *result = pp_starmap_async(pool, crash_and_triple, map->items, map->count,
                                         .chunksize = chunksize, .retries = retries);
    int code = pp_get(result, map->out);
    size_t failures = 0;

    for (size_t i = 0; i < map->count; i++) {
        int crashes = map->items[i].crashes;

        mark_check(&map->marks[i], 1 + (crashes <= retries ? crashes : retries));
        CHECK_EQ(map->out[i], crashes <= retries ? 3 * (long)i + 1 : 0);
        if (crashes > retries) {
            const pp_error *error = pp_failure(result, failures++);

            CHECK_EQ(error->index, i);
            CHECK_EQ(error->kind, PP_CRASHED);
            CHECK_EQ(error->pid, atomic_load(&map->marks[i].pid));
        }
    }
    CHECK_EQ(pp_failures(result), failures);
    CHECK_EQ(code, failures ? PP_ECRASHED : 0);
    finish(pool);
}

static const long sizes[] = { 0, 1, 3, 10, 99, 100, 1000 };

TEST(each_chunk_size, .timeout = 120)
{
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct map map = map_new(100);

        for (size_t i = 0; i < map.count; i += 6)
            map.items[i].crashes = (int)(i / 6 % 5);
        map.items[49].crashes = map.items[50].crashes = map.items[99].crashes = 2;
        map_run(&map, pool_of(1 + (int)s % 4), sizes[s], 2);
        map_free(&map);
    }
}

TEST(all_items, .timeout = 120)
{
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct map map = map_new(40);

        for (size_t i = 0; i < map.count; i++)
            map.items[i].crashes = 1 + (int)i % 2;
        map_run(&map, pool_of(3), sizes[s], (int)s % 3);
        map_free(&map);
    }
}

TEST(a_hundred_of_a_hundred_thousand, .timeout = 120)
{
    struct map map = map_new(100000);
    unsigned long seed = choose_seed();

    for (int i = 0; i < 100; i++)
        map.items[next_random(&seed) % map.count].crashes = 1 + i % 3;
    map_run(&map, pool_of(4), 0, 2);
    map_free(&map);
}

/* Workers that retire in the middle of a chunk hand the rest on: no attempt at it. */
TEST(with_few_tasks_per_child, .timeout = 120)
{
    for (size_t s = 0; s < 4; s++) {
        struct map map = map_new(60);

        for (size_t i = 0; i < map.count; i += 5)
            map.items[i].crashes = 1 + (int)(i / 5) % 4;
        map_run(&map, pp_pool_new(.processes = 2, .max_tasks_per_child = 3), sizes[s], 3);
        map_free(&map);
    }
}

/* Strings are committed one by one. */
static const char *crash_and_print(struct mark *mark, int crashes, int x)
{
    static char text[32];

    note(mark);
    if (pp_attempt() <= crashes)
        raise(SIGSEGV);
    snprintf(text, sizeof text, "item %d", x);
    return text;
}
PP_TASK(const char *, crash_and_print, struct mark *, mark, int, crashes, int, x);

TEST(strings, .timeout = 60)
{
    enum { COUNT = 50 };
    struct mark *marks = shared_new(COUNT * sizeof *marks);
    PP_ARGS(crash_and_print) items[COUNT];
    const char *out[COUNT] = { 0 };
    char expected[32];
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(crash_and_print)){ &marks[i], i % 7 == 2, i };
    CHECK_EQ(pp_starmap(pool, crash_and_print, items, COUNT, out, .chunksize = 12,
                        .retries = 1), 0);
    for (int i = 0; i < COUNT; i++) {
        mark_check(&marks[i], 1 + (i % 7 == 2));
        snprintf(expected, sizeof expected, "item %d", i);
        CHECK_STR(out[i], expected);
        free((void *)out[i]);
    }
    finish(pool);
    shared_free(marks, COUNT * sizeof *marks);
}

/* ---- pp_attempt() -------------------------------------------------------------- */

static int note_attempt(void *arg)
{
    *(int *)arg = pp_attempt();
    return 0;
}

TEST(outside_of_a_task)
{
    int *initializer = shared_new(sizeof *initializer);
    int status, value = 0;
    pid_t child;
    pp_pool *pool;

    *initializer = 7;
    CHECK_EQ(pp_attempt(), 0);
    pool = pp_pool_new(.processes = 1, .initializer = note_attempt, .initarg = initializer);
    CHECK(pool != NULL);
    CHECK_EQ(*initializer, 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(attempt), &value), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(pp_attempt(), 0);
    CHECK_EQ(attempt(), 0); /* called as the function that it is */
    child = fork();
    if (child == 0)
        _exit(pp_attempt());
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    finish(pool);
    shared_free(initializer, sizeof *initializer);
}

TEST(first_attempts)
{
    pp_pool *pool = pool_of(2);
    int items[500], out[500];

    for (int i = 0; i < 500; i++)
        items[i] = i;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        CHECK_EQ(pp_map(pool, attempt_of, items, 500, out, .chunksize = sizes[s],
                        .retries = (int)s), 0);
        for (int i = 0; i < 500; i++)
            CHECK_EQ(out[i], i + 1);
    }
    finish(pool);
}
