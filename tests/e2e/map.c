/* SPDX-License-Identifier: MIT */
/* pp_map() and pp_map_async(): items of one parameter. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static pid_t process_of(int x)
{
    (void)x;
    return getpid();
}
PP_TASK(pid_t, process_of, int, x);

/* Even numbers succeed; of the odd ones some raise and some crash. */
static int fragile(int x)
{
    if (x % 4 == 1)
        pp_raise(x, "item of value %d", x);
    if (x % 4 == 3)
        raise(SIGKILL);
    return 10 * x;
}
PP_TASK(int, fragile, int, x);

static int fail_at(int x)
{
    if (x < 0)
        pp_raise(-x, "below zero");
    if (x > 100)
        _exit(x);
    return x;
}
PP_TASK(int, fail_at, int, x);

static const char *number(int x)
{
    static char text[32];

    snprintf(text, sizeof text, "number %d", x);
    return x % 10 == 9 ? NULL : text;
}
PP_TASK(const char *, number, int, x);

static size_t length(const char *text)
{
    return text ? strlen(text) : 999;
}
PP_TASK(size_t, length, const char *, text);

static pp_bytes repeated(pp_bytes one)
{
    char *out = pp_reserve(2 * one.size);

    memcpy(out, one.data, one.size);
    memcpy(out + one.size, one.data, one.size);
    return (pp_bytes){ out, 2 * one.size };
}
PP_TASK(pp_bytes, repeated, pp_bytes, one);

struct colour {
    unsigned char red, green, blue;
};

static struct colour inverted(struct colour colour)
{
    return (struct colour){ (unsigned char)~colour.red, (unsigned char)~colour.green,
                            (unsigned char)~colour.blue };
}
PP_TASK(struct colour, inverted, struct colour, colour);

static void touch(atomic_int *counter)
{
    atomic_fetch_add(counter, 1);
}
PP_TASK(void, touch, atomic_int *, counter);

static int meet(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    while (atomic_load(&gate->waiting) < 2)
        usleep(100);
    return 1;
}
PP_TASK(int, meet, struct gate *, gate);

static long *numbers(size_t count)
{
    long *items = calloc(count ? count : 1, sizeof *items);

    CHECK(items != NULL);
    for (size_t i = 0; i < count; i++)
        items[i] = (long)i;
    return items;
}

static void check_squares(pp_pool *pool, size_t count, long chunksize)
{
    long *items = numbers(count), *out = numbers(count);

    CHECK_EQ(pp_map(pool, square, items, count, out, .chunksize = chunksize), 0);
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(out[i], (long)(i * i));
    free(items);
    free(out);
}

TEST(values_in_the_order_of_items)
{
    pp_pool *pool = pool_of(2);

    check_squares(pool, 3, 0);
    finish(pool);
}

TEST(any_number_of_items, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    for (size_t count = 0; count < 300; count++)
        check_squares(pool, count, 0);
    check_squares(pool, 100000, 0);
    finish(pool);
}

TEST(any_chunksize, .timeout = 60)
{
    static const long chunks[] = { 1, 2, 3, 7, 64, 999, 1000, 1001, 1L << 40 };
    pp_pool *pool = pool_of(2);

    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        for (size_t count = 998; count < 1003; count++)
            check_squares(pool, count, chunks[i]);
    finish(pool);
}

TEST(million_with_chunks_of_one, .timeout = 300)
{
    pp_pool *pool = pool_of(2);

    check_squares(pool, 1000000, 1);
    finish(pool);
}

TEST(nothing_to_do)
{
    pp_pool *pool = pool_of(1);
    long item = 1, value = 7;
    pp_result *result;

    CHECK_EQ(pp_map(pool, square, &item, 0, &value), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(pp_map_with(pool, &square_pp_task, NULL, 0, NULL, NULL), 0);
    result = pp_map_async(pool, square, &item, 0);
    CHECK(result != NULL);
    CHECK(pp_ready(result));
    CHECK(pp_successful(result));
    CHECK_EQ(pp_failures(result), 0);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 7);
    finish(pool);
}

TEST(output_may_be_null)
{
    enum { COUNT = 100 };
    atomic_int *counter = shared_new(sizeof *counter);
    atomic_int *items[COUNT];
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < COUNT; i++)
        items[i] = counter;
    CHECK_EQ(pp_map(pool, touch, items, COUNT, NULL), 0);
    CHECK_EQ(atomic_load(counter), COUNT);
    finish(pool);
    shared_free(counter, sizeof *counter);
}

/* An explicit chunksize is kept to the letter: the items of a chunk are run by one
   worker, and a chunk begins at each multiple. */
TEST(chunks_stay_together)
{
    enum { COUNT = 1000, CHUNK = 7 };
    int items[COUNT] = { 0 };
    pid_t pids[COUNT];
    pp_pool *pool = pool_of(4);

    CHECK_EQ(pp_map(pool, process_of, items, COUNT, pids, .chunksize = CHUNK), 0);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(pids[i], pids[i - i % CHUNK]);
    finish(pool);
}

/* By itself the library does not give both to one worker, which would never end. */
TEST(two_items_are_run_by_two_workers)
{
    struct gate *gate = gate_new();
    struct gate *items[] = { gate, gate };
    pp_pool *pool = pool_of(2);
    int out[2];

    CHECK_EQ(pp_map(pool, meet, items, 2, out), 0);
    CHECK_EQ(out[0] + out[1], 2);
    finish(pool);
    gate_free(gate);
}

TEST(strings_in)
{
    enum { COUNT = 1000 };
    static char texts[COUNT][16];
    const char *items[COUNT];
    static size_t out[COUNT];
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < COUNT; i++) {
        memset(texts[i], 'x', (size_t)i % 16);
        items[i] = i % 10 == 3 ? NULL : texts[i];
    }
    CHECK_EQ(pp_map(pool, length, items, COUNT, out), 0);
    for (size_t i = 0; i < COUNT; i++)
        CHECK_EQ(out[i], i % 10 == 3 ? 999 : i % 16);
    finish(pool);
}

/* As argv has them. */
TEST(items_of_char_pointers)
{
    char one[] = "a", two[] = "bb";
    char *items[] = { one, two };
    size_t out[2];
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_map(pool, length, items, 2, out), 0);
    CHECK_EQ(out[0], 1);
    CHECK_EQ(out[1], 2);
    finish(pool);
}

TEST(strings_out)
{
    enum { COUNT = 1000 };
    int items[COUNT];
    const char *out[COUNT];
    char expected[32];
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < COUNT; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, number, items, COUNT, out), 0);
    finish(pool);
    for (int i = 0; i < COUNT; i++) {
        snprintf(expected, sizeof expected, "number %d", i);
        CHECK_STR(out[i], i % 10 == 9 ? NULL : expected);
        free((void *)out[i]);
    }
}

TEST(bytes_both_ways)
{
    enum { COUNT = 50 };
    static char data[COUNT * 1000];
    pp_bytes items[COUNT], out[COUNT];
    pp_pool *pool = pool_of(2);

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * i);
    for (size_t i = 0; i < COUNT; i++)
        items[i] = (pp_bytes){ data + i, i * 1000 };
    CHECK_EQ(pp_map(pool, repeated, items, COUNT, out), 0);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQ(out[i].size, 2000 * i);
        CHECK(i == 0 || memcmp(out[i].data, data + i, i * 1000) == 0);
        CHECK(i == 0 || memcmp((const char *)out[i].data + i * 1000, data + i, i * 1000) == 0);
        free((void *)out[i].data);
    }
    finish(pool);
}

/* Sizes that are no multiple of anything must not shift the items. */
TEST(odd_structs)
{
    enum { COUNT = 1001 };
    struct colour items[COUNT], out[COUNT];
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < COUNT; i++)
        items[i] = (struct colour){ (unsigned char)i, (unsigned char)(i / 2),
                                    (unsigned char)(i / 3) };
    CHECK_EQ(pp_map(pool, inverted, items, COUNT, out), 0);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(out[i].red, (unsigned char)~i);
        CHECK_EQ(out[i].green, (unsigned char)~(i / 2));
        CHECK_EQ(out[i].blue, (unsigned char)~(i / 3));
    }
    finish(pool);
}

/* All others are run, and their values stored; the failed ones' are left alone. */
static void check_fragile(long chunksize)
{
    enum { COUNT = 40 };
    int items[COUNT], out[COUNT];
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < COUNT; i++) {
        items[i] = i;
        out[i] = -i;
    }
    CHECK_EQ(pp_map(pool, fragile, items, COUNT, out, .chunksize = chunksize), PP_ERAISED);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(out[i], i % 2 ? -i : 10 * i);
    finish(pool);
}

TEST(others_are_run_in_spite_of_failures)
{
    check_fragile(0);
}

TEST(others_of_the_chunk_are_run_in_spite_of_failures)
{
    check_fragile(40);
}

TEST(others_are_run_in_spite_of_failures_with_chunks_of_one)
{
    check_fragile(1);
}

TEST(code_is_of_the_lowest_index)
{
    int raised_first[] = { 0, -5, 1, 103, 104 };
    int crashed_first[] = { 0, 1, 107, -5, 108 };
    pp_pool *pool = pool_of(2);
    pp_error *error = NULL;

    CHECK_EQ(pp_map(pool, fail_at, raised_first, 5, NULL, .error = &error), PP_ERAISED);
    CHECK_EQ(error->kind, PP_RAISED);
    CHECK_EQ(error->index, 1);
    CHECK_EQ(error->code, 5);
    CHECK_STR(error->message, "below zero");
    CHECK_STR(error->function, "fail_at");
    free(error);
    error = NULL;
    CHECK_EQ(pp_map(pool, fail_at, crashed_first, 5, NULL, .error = &error), PP_ECRASHED);
    CHECK_EQ(error->kind, PP_CRASHED);
    CHECK_EQ(error->index, 2);
    CHECK_EQ(error->signal, 0);
    CHECK_EQ(error->status, 107);
    free(error);
    error = NULL;
    CHECK_EQ(pp_map(pool, fail_at, crashed_first, 2, NULL, .error = &error), 0);
    CHECK_EQ(error, NULL);
    finish(pool);
}

TEST(async)
{
    enum { COUNT = 10000 };
    long *items = numbers(COUNT), *out = numbers(COUNT);
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_map_async(pool, square, items, COUNT);

    CHECK(result != NULL);
    memset(items, 0, COUNT * sizeof *items); /* they were copied */
    CHECK_EQ(pp_get(result, out), 0);
    for (size_t i = 0; i < COUNT; i++)
        CHECK_EQ(out[i], (long)(i * i));
    CHECK(pp_successful(result));
    finish(pool);
    free(items);
    free(out);
}

TEST(async_copies_strings)
{
    enum { COUNT = 5000 };
    char **items = calloc(COUNT, sizeof *items);
    size_t *out = calloc(COUNT, sizeof *out);
    pp_pool *pool = pool_of(1);
    pp_result *result;

    for (size_t i = 0; i < COUNT; i++) {
        items[i] = calloc(1, i + 1);
        memset(items[i], 'x', i);
    }
    result = pp_map_async(pool, length, items, COUNT, .chunksize = 3);
    for (size_t i = 0; i < COUNT; i++)
        free(items[i]);
    free(items);
    CHECK_EQ(pp_get(result, out), 0);
    for (size_t i = 0; i < COUNT; i++)
        CHECK_EQ(out[i], i);
    finish(pool);
    free(out);
}

TEST(several_at_the_same_time)
{
    enum { MAPS = 20, COUNT = 2000 };
    long *items = numbers(COUNT), *out = numbers(COUNT);
    pp_result *results[MAPS];
    pp_pool *pool = pool_of(2);

    for (int m = 0; m < MAPS; m++)
        results[m] = pp_map_async(pool, square, items, COUNT, .chunksize = m);
    for (int m = MAPS - 1; m >= 0; m--) {
        memset(out, 0, COUNT * sizeof *out);
        CHECK_EQ(pp_get(results[m], out), 0);
        for (size_t i = 0; i < COUNT; i++)
            CHECK_EQ(out[i], (long)(i * i));
    }
    finish(pool);
    free(items);
    free(out);
}
