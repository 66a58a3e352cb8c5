/* SPDX-License-Identifier: MIT */
/* A time limit together with all else: other ends, callbacks, results. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

struct mark {
    atomic_int runs;
    atomic_int pid;
    atomic_int terms; /* how often SIGTERM came */
};

static struct mark *marked;

static void note_term(int signal)
{
    (void)signal;
    atomic_fetch_add(&marked->terms, 1);
}

/* Never ends by itself. */
static void stay(struct mark *mark)
{
    marked = mark;
    signal(SIGTERM, note_term);
    atomic_store(&mark->pid, getpid());
    atomic_fetch_add(&mark->runs, 1);
    for (;;)
        pause();
}
PP_TASK(void, stay, struct mark *, mark);

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

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

static int fail(int way)
{
    if (way == 1)
        pp_raise(EDOM, "raised");
    if (way == 2)
        raise(SIGSEGV);
    if (way == 3)
        _exit(4);
    return way;
}
PP_TASK(int, fail, int, way);

/* The limit of one that ended otherwise hits nobody later. */
TEST(ends_otherwise_before)
{
    static const int codes[] = { 0, PP_ERAISED, PP_ECRASHED, PP_ECRASHED };
    struct gate *gate = gate_new();
    double limit = 0.3 * harness_time_factor();
    pp_pool *pool = pool_of(1);

    for (int way = 0; way < 4; way++) {
        int before = atomic_load(&gate->waiting);
        pp_result *result;

        CHECK_EQ(pp_apply(pool, PP_CALL(fail, way), NULL, .time_limit = limit), codes[way]);
        result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 2));
        CHECK_SOON(atomic_load(&gate->waiting) == before + 1);
        CHECK_EQ(pp_wait(result, .timeout = 1.5 * limit), -ETIMEDOUT);
        gate_open(gate);
        CHECK_EQ(pp_get(result, NULL), 0);
        atomic_store(&gate->open, 0);
    }
    finish(pool);
    gate_free(gate);
}

struct seen {
    atomic_int calls;
    atomic_int errors;
    int code;
};

static void count_call(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    atomic_fetch_add(&seen->calls, 1);
}

static void count_error(pp_result *result, void *user)
{
    struct seen *seen = user;

    seen->code = pp_get(result, NULL);
    atomic_fetch_add(&seen->errors, 1);
}

static void check_callback(pp_callbacks mode)
{
    struct mark *mark = shared_new(sizeof *mark);
    pp_pool *pool = pp_pool_new(.processes = 1, .callbacks = mode);
    struct seen seen = { 0 };
    pp_result *result =
        pp_apply_async(pool, PP_CALL(stay, mark), .time_limit = 0.02,
                       .callback = count_call, .error_callback = count_error, .user = &seen);

    if (mode == PP_CALLBACKS_POLL)
        CHECK_SOON(pp_poll(pool) == 1);
    else
        CHECK_SOON(atomic_load(&seen.errors) == 1); /* though nobody waits */
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(seen.code, PP_ETIMELIMIT);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.errors), 1);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    shared_free(mark, sizeof *mark);
}

TEST(error_callback)
{
    check_callback(PP_CALLBACKS_THREAD);
}

TEST(error_callback_when_polled)
{
    check_callback(PP_CALLBACKS_POLL);
}

TEST(freed_early)
{
    struct mark *mark = shared_new(sizeof *mark);
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 5; i++)
        pp_result_free(pp_apply_async(pool, PP_CALL(stay, mark),
                                      .time_limit = 0.02));
    check_works(pool);
    pp_result_free(pp_apply_async(pool, PP_CALL(stay, mark),
                                  .time_limit = 0.02));
    finish(pool); /* which waits for it */
    shared_free(mark, sizeof *mark);
}

TEST(terminated_meanwhile)
{
    struct mark *marks = shared_new(2 * sizeof *marks);
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_apply_async(
        pool, PP_CALL(stay, &marks[0]), .time_limit = 0.01, .grace = 1e6);
    pp_result *other = pp_apply_async(
        pool, PP_CALL(stay, &marks[1]), .time_limit = 1e6);

    CHECK_SOON(atomic_load(&marks[0].terms) == 1 ||
               (atomic_load(&marks[0].runs) && !is_alive(atomic_load(&marks[0].pid))));
    CHECK_SOON(atomic_load(&marks[1].runs) == 1);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK(pp_get(result, NULL) == PP_ECANCELLED || pp_get(result, NULL) == PP_ETIMELIMIT);
    CHECK_EQ(pp_get(other, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    shared_free(marks, 2 * sizeof *marks);
}

/* Replacements of those that were stopped count their items from the beginning. */
TEST(with_few_tasks_per_child)
{
    struct mark *marks = shared_new(30 * sizeof *marks);
    pp_pool *pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 2);

    for (int i = 0; i < 30; i++)
        if (i % 3)
            check_works(pool);
        else
            CHECK_EQ(pp_apply(pool, PP_CALL(stay, &marks[i]), NULL, .time_limit = 0.02),
                     PP_ETIMELIMIT);
    finish(pool);
    shared_free(marks, 30 * sizeof *marks);
}

/* What a stopped task had reserved for its result is free again. */
static pp_bytes reserve_and_stay(size_t size, bool stays)
{
    char *data = pp_reserve(size);

    if (!data)
        pp_raise(ENOMEM, "no room for %zu bytes", size);
    memset(data, 'r', size);
    while (stays)
        pause();
    return (pp_bytes){ data, size };
}
PP_TASK(pp_bytes, reserve_and_stay, size_t, size, bool, stays);

TEST(reserved_memory, .timeout = 60)
{
    enum { SIZE = 1 << 22 };
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 40; i++) {
        pp_bytes value = { 0 };

        CHECK_EQ(pp_apply(pool, PP_CALL(reserve_and_stay, SIZE, true), &value,
                          .time_limit = 0.03), PP_ETIMELIMIT);
        CHECK_EQ(pp_apply(pool, PP_CALL(reserve_and_stay, SIZE, false), &value), 0);
        CHECK_EQ(value.size, SIZE);
        CHECK_EQ(((const char *)value.data)[SIZE - 1], 'r');
        free((void *)value.data);
    }
    finish(pool);
}

/* A task that has returned is not on time's account any more, however long its worker
   waits for the client to take the values before. */
static const char *print(int x)
{
    static char text[16];

    snprintf(text, sizeof text, "%d", x);
    return text;
}
PP_TASK(const char *, print, int, x);

TEST(nobody_takes_the_values, .timeout = 60)
{
    enum { COUNT = 20000 }; /* more than a worker can leave to be taken */
    double limit = 0.5 * harness_time_factor();
    pp_pool *pool = pp_pool_new(.processes = 1, .callbacks = PP_CALLBACKS_POLL);
    const char **out = calloc(COUNT, sizeof *out);
    int *items = calloc(COUNT, sizeof *items);
    pp_result *result;

    for (int i = 0; i < COUNT; i++)
        items[i] = i;
    result = pp_map_async(pool, print, items, COUNT, .chunksize = COUNT, .time_limit = limit);
    sleep_for((long)(3e6 * limit)); /* not for anything to happen, but for time to pass */
    CHECK_EQ(pp_get(result, out), 0);
    CHECK_STR(out[COUNT - 1], "19999");
    finish(pool);
    free(out);
    free(items);
}
