/* SPDX-License-Identifier: MIT */
/* What travels: parameters and results of all kinds and sizes. */
#include <signal.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "support.h"

#define ECHO(name, type)                                                                   \
    static type echo_##name(type x)                                                        \
    {                                                                                      \
        return x;                                                                          \
    }                                                                                      \
    PP_TASK(type, echo_##name, type, x)

struct big {
    char bytes[5000]; /* more than a page */
};

struct huge {
    char bytes[60000];
};

struct nested {
    char first;
    struct {
        double x;
        short y[3];
    } inner;
    void *address;
};

enum mood { GLAD = 3, SAD = -4 };

ECHO(bool, bool);
ECHO(char, char);
ECHO(short, short);
ECHO(int, int);
ECHO(long, long);
ECHO(unsigned, unsigned);
ECHO(uint64, uint64_t);
ECHO(float, float);
ECHO(double, double);
ECHO(long_double, long double);
ECHO(mood, enum mood);
ECHO(address, void *);
ECHO(big, struct big);
ECHO(huge, struct huge);
ECHO(nested, struct nested);
ECHO(string, const char *);
ECHO(bytes, pp_bytes);

#define CHECK_ECHO(pool, name, type, value)                                                \
    do {                                                                                   \
        type echoed_;                                                                      \
        memset(&echoed_, 0x55, sizeof echoed_);                                            \
        CHECK_EQ(pp_apply(pool, PP_CALL(echo_##name, value), &echoed_), 0);                \
        CHECK_EQ(echoed_, value);                                                          \
    } while (0)

TEST(numbers)
{
    pp_pool *pool = pool_of(1);

    CHECK_ECHO(pool, bool, bool, true);
    CHECK_ECHO(pool, bool, bool, false);
    CHECK_ECHO(pool, char, char, 'x');
    CHECK_ECHO(pool, short, short, INT16_MIN);
    CHECK_ECHO(pool, int, int, -1);
    CHECK_ECHO(pool, int, int, INT32_MAX);
    CHECK_ECHO(pool, long, long, INT64_MIN);
    CHECK_ECHO(pool, unsigned, unsigned, UINT32_MAX);
    CHECK_ECHO(pool, uint64, uint64_t, UINT64_MAX);
    CHECK_ECHO(pool, float, float, 1.5f);
    CHECK_ECHO(pool, double, double, 1e-300);
    CHECK_ECHO(pool, mood, enum mood, SAD);
    finish(pool);
}

TEST(long_doubles)
{
    pp_pool *pool = pool_of(1);
    long double value = 0, expected = 1 / 3.0L;

    CHECK_EQ(pp_apply(pool, PP_CALL(echo_long_double, expected), &value), 0);
    CHECK(!(value < expected) && !(value > expected));
    finish(pool);
}

TEST(addresses)
{
    static int variable;
    pp_pool *pool = pool_of(1);
    void *address = &variable, *value = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(echo_address, address), &value), 0);
    CHECK_EQ(value, address);
    CHECK_EQ(pp_apply(pool, PP_CALL(echo_address, NULL), &value), 0);
    CHECK_EQ(value, NULL);
    finish(pool);
}

TEST(structs)
{
    pp_pool *pool = pool_of(1);
    struct nested nested = { 'n', { 2.5, { 1, 2, 3 } }, pool }, value = { 0 };

    CHECK_EQ(pp_apply(pool, PP_CALL(echo_nested, nested), &value), 0);
    CHECK_EQ(value.first, 'n');
    CHECK_EQ(value.inner.x, 2.5);
    CHECK_EQ(value.inner.y[2], 3);
    CHECK_EQ(value.address, pool);
    finish(pool);
}

static void fill(void *memory, size_t size, unsigned long seed)
{
    unsigned char *bytes = memory;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)next_random(&seed);
}

TEST(structs_larger_than_a_page)
{
    pp_pool *pool = pool_of(1);
    static struct big big, big_value;
    static struct huge huge, huge_value;

    fill(&big, sizeof big, 1);
    fill(&huge, sizeof huge, 2);
    for (int i = 0; i < 50; i++) {
        memset(&big_value, 0, sizeof big_value);
        memset(&huge_value, 0, sizeof huge_value);
        CHECK_EQ(pp_apply(pool, PP_CALL(echo_big, big), &big_value), 0);
        CHECK_EQ(memcmp(&big_value, &big, sizeof big), 0);
        CHECK_EQ(pp_apply(pool, PP_CALL(echo_huge, huge), &huge_value), 0);
        CHECK_EQ(memcmp(&huge_value, &huge, sizeof huge), 0);
    }
    finish(pool);
}

TEST(maps_of_large_structs)
{
    enum { COUNT = 500 };
    struct huge *items = calloc(COUNT, sizeof *items), *out = calloc(COUNT, sizeof *out);
    pp_pool *pool = pool_of(2);

    for (size_t i = 0; i < COUNT; i++)
        fill(&items[i], sizeof *items, i);
    CHECK_EQ(pp_map(pool, echo_huge, items, COUNT, out), 0);
    CHECK_EQ(memcmp(items, out, COUNT * sizeof *items), 0);
    finish(pool);
    free(items);
    free(out);
}

static int no_parameter(void)
{
    return 42;
}
PP_TASK(int, no_parameter);

static void nothing(void)
{
}
PP_TASK(void, nothing);

static double twelve(int a, double b, char c, long d, float e, short f, unsigned g, int h,
                     const char *i, pp_bytes j, struct nested k, bool l)
{
    return a + b + c + (double)d + (double)e + f + g + h + (double)strlen(i) +
           (double)j.size + k.inner.x + l;
}
PP_TASK(double, twelve, int, a, double, b, char, c, long, d, float, e, short, f, unsigned, g,
        int, h, const char *, i, pp_bytes, j, struct nested, k, bool, l);

TEST(no_parameters)
{
    pp_pool *pool = pool_of(1);
    int value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(no_parameter), &value), 0);
    CHECK_EQ(value, 42);
    CHECK_EQ(pp_apply(pool, PP_CALL(nothing), NULL), 0);
    CHECK_EQ(pp_get(pp_apply_async(pool, PP_CALL(nothing)), NULL), 0);
    finish(pool);
}

TEST(twelve_parameters)
{
    struct nested nested = { .inner.x = 2048 };
    pp_pool *pool = pool_of(1);
    double value = 0;

    CHECK_EQ(pp_apply(pool,
                      PP_CALL(twelve, 1, 2, 4, 8, 16, 32, 64, 128, "four", { "xyz", 3 },
                              nested, true),
                      &value), 0);
    CHECK_EQ(value, 255 + 4 + 3 + 2048 + 1);
    finish(pool);
}

/* ---- Strings ------------------------------------------------------------- */

static void check_string(pp_pool *pool, const char *text)
{
    const char *copy = "", *lent = "";
    pp_result *result;

    CHECK_EQ(pp_apply(pool, PP_CALL(echo_string, text), &copy), 0);
    CHECK_STR(copy, text);
    free((void *)copy);
    result = pp_apply_async(pool, PP_CALL(echo_string, text));
    CHECK_EQ(pp_get(result, &lent), 0);
    CHECK_STR(lent, text);
    pp_result_free(result);
}

TEST(strings)
{
    pp_pool *pool = pool_of(2);
    char text[2000];

    check_string(pool, NULL);
    check_string(pool, "");
    check_string(pool, "a");
    check_string(pool, "\303\244\n\t%s");
    for (size_t length = 0; length < sizeof text; length += 1 + length / 50) {
        memset(text, 'x', length);
        text[length] = '\0';
        check_string(pool, text);
    }
    finish(pool);
}

TEST(long_strings)
{
    size_t length = 10 << 20;
    char *text = malloc(length + 1);
    pp_pool *pool = pool_of(1);

    memset(text, 'y', length);
    text[length] = '\0';
    check_string(pool, text);
    finish(pool);
    free(text);
}

static size_t count_null(const char *a, const char *b, pp_bytes c)
{
    return (size_t)!a + 2 * (size_t)!b + 4 * c.size;
}
PP_TASK(size_t, count_null, const char *, a, const char *, b, pp_bytes, c);

TEST(null_and_empty)
{
    pp_pool *pool = pool_of(1);
    size_t value = 9;

    CHECK_EQ(pp_apply(pool, PP_CALL(count_null, NULL, "", { NULL, 0 }), &value), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(pp_apply(pool, PP_CALL(count_null, "", NULL, { "x", 0 }), &value), 0);
    CHECK_EQ(value, 2);
    CHECK_EQ(pp_apply(pool, PP_CALL(count_null, .c = { "xyz", 1 }), &value), 0);
    CHECK_EQ(value, 7);
    finish(pool);
}

/* From the task's heap, which nobody frees. */
static const char *from_heap(int fill_with)
{
    char *text = malloc(1000);

    memset(text, fill_with, 999);
    text[999] = '\0';
    return text;
}
PP_TASK(const char *, from_heap, int, fill_with);

TEST(strings_from_the_heap)
{
    pp_pool *pool = pool_of(1);
    char expected[1000];
    const char *text = NULL;

    memset(expected, 'h', 999);
    expected[999] = '\0';
    CHECK_EQ(pp_apply(pool, PP_CALL(from_heap, 'h'), &text), 0);
    CHECK_STR(text, expected);
    free((void *)text);
    finish(pool);
}

/* ---- Bytes ---------------------------------------------------------------- */

static void check_bytes(pp_pool *pool, const void *data, size_t size)
{
    pp_bytes copy = { NULL, 99 }, lent = { NULL, 99 };
    pp_result *result;

    CHECK_EQ(pp_apply(pool, PP_CALL(echo_bytes, { data, size }), &copy), 0);
    CHECK_EQ(copy.size, size);
    CHECK(size == 0 || memcmp(copy.data, data, size) == 0);
    free((void *)copy.data);
    result = pp_apply_async(pool, PP_CALL(echo_bytes, { data, size }));
    CHECK_EQ(pp_get(result, &lent), 0);
    CHECK_EQ(lent.size, size);
    CHECK(size == 0 || memcmp(lent.data, data, size) == 0);
    pp_result_free(result);
}

TEST(bytes)
{
    static unsigned char data[100000];
    pp_pool *pool = pool_of(2);

    fill(data, sizeof data, 3);
    check_bytes(pool, NULL, 0);
    check_bytes(pool, data, 0);
    for (size_t size = 1; size < sizeof data; size += 1 + size / 20)
        check_bytes(pool, data + size % 7, size);
    finish(pool);
}

TEST(hundred_megabytes, .timeout = 120)
{
    size_t size = 100 << 20;
    unsigned long *data = malloc(size);
    pp_pool *pool = pool_of(1);
    unsigned long seed = 4;

    for (size_t i = 0; i < size / sizeof *data; i++)
        data[i] = next_random(&seed);
    check_bytes(pool, data, size);
    check_bytes(pool, data, size);
    finish(pool);
    free(data);
}

/* Several large results at once, which a worker can hold one at a time at most. */
TEST(many_large_results, .timeout = 120)
{
    enum { COUNT = 40 };
    size_t size = 5 << 20;
    char *data = malloc(size);
    pp_bytes items[COUNT], out[COUNT];
    pp_pool *pool = pool_of(2);

    fill(data, size, 5);
    for (size_t i = 0; i < COUNT; i++)
        items[i] = (pp_bytes){ data + i, size - i };
    CHECK_EQ(pp_map(pool, echo_bytes, items, COUNT, out), 0);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQ(out[i].size, size - i);
        CHECK_EQ(memcmp(out[i].data, data + i, size - i), 0);
        free((void *)out[i].data);
    }
    finish(pool);
    free(data);
}

/* In a task, what came as a string or as bytes can be read and no more. */
static int scribble(const char *text)
{
    *(volatile char *)(uintptr_t)text = 'X';
    return 0;
}
PP_TASK(int, scribble, const char *, text);

TEST(arguments_are_read_only)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(scribble, "text"), NULL, .error = &error), PP_ECRASHED);
    CHECK_EQ(error->signal, SIGSEGV);
    free(error);
    check_string(pool, "text");
    finish(pool);
}

/* Much more is said to be there than there is: the task fails, the pool does not. */
static pp_bytes lie(size_t size)
{
    return (pp_bytes){ "short", size };
}
PP_TASK(pp_bytes, lie, size_t, size);

TEST(result_larger_than_memory)
{
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX / 2, 1UL << 50 };
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 3; i++) {
        pp_bytes bytes = { NULL, 0 };
        int error = pp_apply(pool, PP_CALL(lie, sizes[i]), &bytes);

        CHECK(error == PP_ECRASHED || error == PP_ERAISED || error == -ENOMEM);
        CHECK_EQ(bytes.data, NULL);
        check_string(pool, "still there");
    }
    finish(pool);
}
