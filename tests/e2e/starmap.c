/* SPDX-License-Identifier: MIT */
/* pp_starmap() and pp_starmap_async(): items of several parameters. */
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

static long add(long x, long y)
{
    return x + y;
}
PP_TASK(long, add, long, x, long, y);

static double mixed(char a, short b, int c, long d, float e, double f)
{
    return a + b + c + (double)d + (double)e + f;
}
PP_TASK(double, mixed, char, a, short, b, int, c, long, d, float, e, double, f);

static long twelve(long a, long b, long c, long d, long e, long f, long g, long h, long i,
                   long j, long k, long l)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j +
           11 * k + 12 * l;
}
PP_TASK(long, twelve, long, a, long, b, long, c, long, d, long, e, long, f, long, g, long, h,
        long, i, long, j, long, k, long, l);

static const char *join(const char *first, pp_bytes middle, const char *last)
{
    char *out = pp_reserve(strlen(first) + middle.size + strlen(last) + 1);

    sprintf(out, "%s%.*s%s", first, (int)middle.size, (const char *)middle.data, last);
    return out;
}
PP_TASK(const char *, join, const char *, first, pp_bytes, middle, const char *, last);

static long one(long x)
{
    return x + 1;
}
PP_TASK(long, one, long, x);

static int none(void)
{
    return 7;
}
PP_TASK(int, none);

static void fill(long *array, long begin, long end)
{
    for (long i = begin; i < end; i++)
        array[i] = 3 * i;
}
PP_TASK(void, fill, long *, array, long, begin, long, end);

static int divide(int x, int y)
{
    if (y == 0)
        pp_raise(EDOM, "%d / 0", x);
    return x / y;
}
PP_TASK(int, divide, int, x, int, y);

TEST(two_parameters)
{
    const PP_ARGS(add) pairs[] = { { 1, 2 }, { 3, 4 }, { .x = 5, .y = 6 } };
    long sums[3] = { 0 };
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_starmap(pool, add, pairs, 3, sums), 0);
    CHECK_EQ(sums[0], 3);
    CHECK_EQ(sums[1], 7);
    CHECK_EQ(sums[2], 11);
    finish(pool);
}

TEST(many_items, .timeout = 60)
{
    enum { COUNT = 100000 };
    PP_ARGS(add) *pairs = calloc(COUNT, sizeof *pairs);
    long *sums = calloc(COUNT, sizeof *sums);
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < COUNT; i++)
        pairs[i] = (PP_ARGS(add)){ i, 2 * i };
    CHECK_EQ(pp_starmap(pool, add, pairs, COUNT, sums), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(sums[i], 3 * i);
    finish(pool);
    free(pairs);
    free(sums);
}

TEST(parameters_of_many_types)
{
    enum { COUNT = 100 };
    PP_ARGS(mixed) items[COUNT];
    double out[COUNT];
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(mixed)){ (char)i, (short)(2 * i), 1000 * i, 1000000L * i,
                                     (float)i / 2, (double)i / 4 };
    CHECK_EQ(pp_starmap(pool, mixed, items, COUNT, out, .chunksize = 3), 0);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(out[i], i * 1001003.75);
    finish(pool);
}

TEST(twelve_parameters)
{
    PP_ARGS(twelve) items[50];
    long out[50];
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < 50; i++)
        items[i] = (PP_ARGS(twelve)){ i, i, i, i, i, i, i, i, i, i, i, i + 1 };
    CHECK_EQ(pp_starmap(pool, twelve, items, 50, out), 0);
    for (long i = 0; i < 50; i++)
        CHECK_EQ(out[i], 78 * i + 12);
    finish(pool);
}

TEST(strings_and_bytes)
{
    enum { COUNT = 500 };
    PP_ARGS(join) items[COUNT];
    const char *out[COUNT];
    char expected[64];
    pp_pool *pool = pool_of(2);

    for (size_t i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(join)){ i % 2 ? "odd" : "", { "abcdefghij", i % 11 }, "end" };
    CHECK_EQ(pp_starmap(pool, join, items, COUNT, out), 0);
    for (int i = 0; i < COUNT; i++) {
        sprintf(expected, "%s%.*send", i % 2 ? "odd" : "", i % 11, "abcdefghij");
        CHECK_STR(out[i], expected);
        free((void *)out[i]);
    }
    finish(pool);
}

TEST(one_parameter)
{
    const PP_ARGS(one) items[] = { { 1 }, { 2 } };
    long out[2] = { 0 };
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_starmap(pool, one, items, 2, out), 0);
    CHECK_EQ(out[0], 2);
    CHECK_EQ(out[1], 3);
    finish(pool);
}

TEST(no_parameter)
{
    PP_ARGS(none) items[5];
    int out[5] = { 0 };
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_starmap(pool, none, items, 5, out), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(out[i], 7);
    finish(pool);
}

TEST(void_task)
{
    enum { COUNT = 1000, PARTS = 10 };
    long *array = shared_new(COUNT * sizeof *array);
    PP_ARGS(fill) parts[PARTS];
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < PARTS; i++)
        parts[i] = (PP_ARGS(fill)){ array, i * COUNT / PARTS, (i + 1) * COUNT / PARTS };
    CHECK_EQ(pp_starmap(pool, fill, parts, PARTS, NULL), 0);
    for (long i = 0; i < COUNT; i++)
        CHECK_EQ(array[i], 3 * i);
    finish(pool);
    shared_free(array, COUNT * sizeof *array);
}

TEST(failures)
{
    const PP_ARGS(divide) items[] = { { 6, 3 }, { 5, 0 }, { 8, 2 } };
    int out[3] = { -1, -1, -1 };
    pp_error *error = NULL;
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_starmap(pool, divide, items, 3, out, .error = &error), PP_ERAISED);
    CHECK_EQ(out[0], 2);
    CHECK_EQ(out[1], -1);
    CHECK_EQ(out[2], 4);
    CHECK_EQ(error->index, 1);
    CHECK_EQ(error->code, EDOM);
    CHECK_STR(error->message, "5 / 0");
    free(error);
    finish(pool);
}

TEST(nothing_to_do)
{
    PP_ARGS(add) item = { 1, 2 };
    long out = 7;
    pp_pool *pool = pool_of(1);
    pp_result *result;

    CHECK_EQ(pp_starmap(pool, add, &item, 0, &out), 0);
    result = pp_starmap_async(pool, add, &item, 0);
    CHECK(pp_ready(result));
    CHECK_EQ(pp_get(result, &out), 0);
    CHECK_EQ(out, 7);
    finish(pool);
}

TEST(async)
{
    PP_ARGS(add) pairs[] = { { 1, 2 }, { 3, 4 } };
    long sums[2] = { 0 };
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_starmap_async(pool, add, pairs, 2, .chunksize = 1);

    memset(pairs, 0, sizeof pairs);
    CHECK_EQ(pp_get(result, sums), 0);
    CHECK_EQ(sums[0], 3);
    CHECK_EQ(sums[1], 7);
    finish(pool);
}

TEST(async_failures)
{
    const PP_ARGS(divide) items[] = { { 1, 0 }, { 6, 3 }, { 2, 0 } };
    int out[3] = { -1, -1, -1 };
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_starmap_async(pool, divide, items, 3);

    CHECK_EQ(pp_get(result, out), PP_ERAISED);
    CHECK_EQ(out[1], 2);
    CHECK_EQ(pp_failures(result), 2);
    CHECK_EQ(pp_failure(result, 0)->index, 0);
    CHECK_EQ(pp_failure(result, 1)->index, 2);
    CHECK_STR(pp_failure(result, 1)->message, "2 / 0");
    finish(pool);
}
