/* SPDX-License-Identifier: MIT */
/* pp_map(), pp_starmap() and those that do not wait: sizes, chunks, values, failures. */
#include "battery.h"

static long *numbers(size_t count)
{
    long *items = calloc(count + 1, sizeof *items);

    for (size_t i = 0; i < count; i++)
        items[i] = (long)i;
    return items;
}

static void check_squares(const long *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(out[i], (long)(i * i));
}

static void check_map(pp_pool *pool, size_t count, long chunksize)
{
    long *items = numbers(count), *out = calloc(count + 1, sizeof *out);

    out[count] = 4711;
    CHECK_EQ(pp_map(pool, square, items, count, out, .chunksize = chunksize), 0);
    check_squares(out, count);
    CHECK_EQ(out[count], 4711);
    free(items);
    free(out);
}

CASE(map_of_many_sizes)
{
    static const size_t counts[] = { 0, 1, 2, 3, 17, 1000 };
    static const long chunksizes[] = { 0, 1, 2, 7, 1000, 1000000 };

    for (int workers = 1; workers <= 3; workers++) {
        pp_pool *pool = new_pool(.processes = workers);

        for (int i = 0; i < 6; i++)
            for (int j = 0; j < 6; j++)
                check_map(pool, counts[i], chunksizes[j]);
        finish(pool);
    }
}

CASE(map_of_many_items, .timeout = 60)
{
    pp_pool *pool = new_pool(.processes = 2);

    check_map(pool, 100000, 0);
    check_map(pool, 100000, 10);
    check_map(pool, 30000, 1);
    finish(pool);
}

CASE(map_of_nothing)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_result *result = pp_map_async(pool, square, (long *)NULL, 0);

    CHECK_EQ(pp_map(pool, square, (long *)NULL, 0, NULL), 0);
    CHECK_EQ(pp_starmap(pool, square, (PP_ARGS(square) *)NULL, 0, NULL), 0);
    CHECK(pp_ready(result));
    CHECK(pp_successful(result));
    CHECK_EQ(pp_get(result, NULL), 0);
    CHECK_EQ(pp_cancel(result), -EALREADY);
    finish(pool);
}

/* Each item once, also when nobody wants its value. */
CASE(map_without_output)
{
    enum { COUNT = 2000 };
    pp_pool *pool = new_pool(.processes = 3);
    atomic_int *counters = pp_shared_alloc(pool, COUNT * sizeof *counters);
    atomic_int *items[COUNT];

    for (int i = 0; i < COUNT; i++)
        items[i] = &counters[i];
    CHECK_EQ(pp_map(pool, touch, items, COUNT, NULL), 0);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(atomic_load(&counters[i]), 1);
    CHECK_EQ(pp_map(pool, touch, items, COUNT, NULL, .chunksize = 7), 0);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(atomic_load(&counters[i]), 2);
    finish(pool);
}

static double quarter(int x)
{
    return x / 4.0;
}
PP_TASK(double, quarter, int, x);

static void nothing(int x)
{
    (void)x;
}
PP_TASK(void, nothing, int, x);

CASE(map_between_types)
{
    pp_pool *pool = new_pool(.processes = 2);
    int items[100];
    double out[100];

    for (int i = 0; i < 100; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, quarter, items, 100, out), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(out[i], i / 4.0);
    CHECK_EQ(pp_map(pool, nothing, items, 100, NULL), 0);
    finish(pool);
}

CASE(map_of_strings)
{
    enum { COUNT = 300 };
    pp_pool *pool = new_pool(.processes = 2);
    static char texts[COUNT][COUNT + 1];
    const char *items[COUNT], *out[COUNT];

    for (int i = 0; i < COUNT; i++) {
        memset(texts[i], 'a' + i % 26, (size_t)i);
        items[i] = i % 10 == 9 ? NULL : texts[i];
    }
    CHECK_EQ(pp_map(pool, echo, items, COUNT, out), 0);
    for (int i = 0; i < COUNT; i++) {
        CHECK_STR(out[i], items[i]);
        free((char *)out[i]);
    }
    finish(pool);
}

CASE(map_of_bytes)
{
    enum { COUNT = 200 };
    pp_pool *pool = new_pool(.processes = 2);
    static unsigned char data[COUNT * 50];
    pp_bytes items[COUNT], out[COUNT];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 3);
    for (size_t i = 0; i < COUNT; i++)
        items[i] = (pp_bytes){ data + i, i * 49 };
    CHECK_EQ(pp_map(pool, echo_bytes, items, COUNT, out), 0);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQ(out[i].size, items[i].size);
        CHECK(out[i].size == 0 || memcmp(out[i].data, data + i, out[i].size) == 0);
        free((void *)out[i].data);
    }
    finish(pool);
}

CASE(map_in_place)
{
    pp_pool *pool = new_pool(.processes = 2);
    long *items = numbers(1000);

    CHECK_EQ(pp_map(pool, square, items, 1000, items), 0);
    check_squares(items, 1000);
    free(items);
    finish(pool);
}

CASE(map_in_shared_memory)
{
    enum { COUNT = 5000 };
    pp_pool *pool = new_pool(.processes = 2);
    long *items = pp_shared_alloc(pool, COUNT * sizeof *items);
    long *out = pp_shared_alloc(pool, COUNT * sizeof *out);

    for (long i = 0; i < COUNT; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, square, items, COUNT, out), 0);
    check_squares(out, COUNT);
    CHECK_EQ(items[COUNT - 1], COUNT - 1);
    CHECK_EQ(pp_map(pool, square, items, COUNT, items, .chunksize = 13), 0);
    check_squares(items, COUNT);
    finish(pool);
}

/* ---- Failures ---- */

static long odd_only(long x)
{
    if (x % 2 == 0)
        pp_raise((int)x + 100, "%ld is even", x);
    return x * x;
}
PP_TASK(long, odd_only, long, x);

static void check_failures(pp_result *result, const long *out)
{
    char message[64];

    CHECK_EQ(pp_failures(result), 50);
    for (size_t i = 0; i < 50; i++) {
        const pp_error *error = pp_failure(result, i);

        snprintf(message, sizeof message, "%zu is even", 2 * i);
        CHECK_EQ(error->index, 2 * i);
        CHECK_EQ(error->kind, PP_RAISED);
        CHECK_EQ(error->code, 100 + 2 * (int)i);
        CHECK_HAS(error->message, message);
        CHECK_EQ(out[2 * i], -1);
        CHECK_EQ(out[2 * i + 1], (long)((2 * i + 1) * (2 * i + 1)));
    }
    CHECK(!pp_failure(result, 50));
    CHECK(!pp_failure(result, (size_t)-1));
    CHECK_EQ(pp_error_of(result)->index, 0);
}

CASE(map_with_failures)
{
    pp_pool *pool = new_pool(.processes = 2);
    long *items = numbers(100), out[100];

    for (long chunksize = 0; chunksize < 150; chunksize += 7) {
        pp_result *result =
            pp_map_async(pool, odd_only, items, 100, .chunksize = chunksize);

        memset(out, -1, sizeof out);
        CHECK_EQ(pp_get(result, out), PP_ERAISED);
        CHECK(pp_ready(result) && !pp_successful(result));
        check_failures(result, out);
        pp_result_free(result);
    }
    free(items);
    finish(pool);
}

/* A map that waits tells of the failure with the lowest index. */
CASE(map_with_failures_that_waits)
{
    pp_pool *pool = new_pool(.processes = 3);
    long items[] = { 1, 3, 5, 6, 7, 8, 9 }, out[] = { 0, 0, 0, 42, 0, 42, 0 };
    pp_error *error = NULL;

    CHECK_EQ(pp_map(pool, odd_only, items, 7, out, .chunksize = 1, .error = &error),
             PP_ERAISED);
    CHECK_EQ(error->index, 3);
    CHECK_EQ(error->code, 106);
    CHECK_STR(error->function, "odd_only");
    free(error);
    for (int i = 0; i < 7; i++)
        CHECK_EQ(out[i], i == 3 || i == 5 ? 42 : items[i] * items[i]);
    finish(pool);
}

CASE(every_item_fails)
{
    pp_pool *pool = new_pool(.processes = 2);
    int codes[100];
    pp_result *result;

    for (int i = 0; i < 100; i++)
        codes[i] = i + 1;
    result = pp_map_async(pool, raise_code, codes, 100);
    CHECK_EQ(pp_get(result, NULL), PP_ERAISED);
    CHECK_EQ(pp_failures(result), 100);
    for (size_t i = 0; i < 100; i++)
        CHECK_EQ(pp_failure(result, i)->code, (int)i + 1);
    finish(pool);
}

/* ---- Those that do not wait ---- */

CASE(map_async_in_flight_together)
{
    enum { MAPS = 20, COUNT = 500 };
    pp_pool *pool = new_pool(.processes = 2);
    long *items = numbers(COUNT), out[COUNT];
    pp_result *results[MAPS];

    for (int i = 0; i < MAPS; i++)
        results[i] = pp_map_async(pool, square, items, COUNT, .chunksize = i);
    memset(items, -1, COUNT * sizeof *items); /* they were copied */
    for (int i = MAPS - 1; i >= 0; i--) {
        memset(out, 0, sizeof out);
        CHECK_EQ(pp_get(results[i], out), 0);
        check_squares(out, COUNT);
        memset(out, 0, sizeof out);
        CHECK_EQ(pp_get(results[i], out), 0);
        check_squares(out, COUNT);
        pp_result_free(results[i]);
    }
    free(items);
    finish(pool);
}

CASE(map_async_is_not_there_before_its_last_item)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct gate *gate = gate_in(pool), *open = gate_in(pool);
    PP_ARGS(wait_and_square) items[10];
    long out[10];
    pp_result *result;

    gate_open(open);
    for (long i = 0; i < 10; i++)
        items[i] = (PP_ARGS(wait_and_square)){ i == 7 ? gate : open, i };
    result = pp_starmap_async(pool, wait_and_square, items, 10, .chunksize = 1);
    if (runs_later()) {
        CHECK_SOON(atomic_load(&open->passed) == 9);
        CHECK_EQ(pp_get(result, out, .timeout = 0.01), -ETIMEDOUT);
        CHECK(!pp_ready(result));
    }
    gate_open(gate);
    CHECK_EQ(pp_get(result, out), 0);
    check_squares(out, 10);
    finish(pool);
}

/* ---- More parameters ---- */

static const char *join(const char *first, int number, pp_bytes last)
{
    char *text = pp_reserve(128);

    snprintf(text, 128, "%s %d %.*s", first, number, (int)last.size, (const char *)last.data);
    return text;
}
PP_TASK(const char *, join, const char *, first, int, number, pp_bytes, last);

static void check_joined(const char *const *out)
{
    char expected[128];

    for (int i = 0; i < 100; i++) {
        snprintf(expected, sizeof expected, "%s %d %.*s", i % 2 ? "odd" : "even", i, i % 7,
                 "1234567");
        CHECK_STR(out[i], expected);
    }
}

CASE(starmap)
{
    pp_pool *pool = new_pool(.processes = 2);
    PP_ARGS(join) items[100];
    const char *out[100];
    pp_result *result;

    for (int i = 0; i < 100; i++)
        items[i] = (PP_ARGS(join)){ i % 2 ? "odd" : "even", i, { "1234567", (size_t)i % 7 } };
    for (long chunksize = 0; chunksize < 30; chunksize += 9) {
        CHECK_EQ(pp_starmap(pool, join, items, 100, out, .chunksize = chunksize), 0);
        check_joined(out);
        for (int i = 0; i < 100; i++)
            free((char *)out[i]);
    }
    result = pp_starmap_async(pool, join, items, 100);
    memset(items, 0, sizeof items);
    CHECK_EQ(pp_get(result, out), 0);
    check_joined(out);
    finish(pool);
}

CASE(starmap_of_one_parameter)
{
    pp_pool *pool = new_pool(.processes = 2);
    PP_ARGS(square) items[50];
    long out[50];

    for (long i = 0; i < 50; i++)
        items[i] = (PP_ARGS(square)){ i };
    CHECK_EQ(pp_starmap(pool, square, items, 50, out), 0);
    check_squares(out, 50);
    finish(pool);
}
