/* SPDX-License-Identifier: MIT */
/* pp_apply(): every kind of parameter and result arrives as it was given. */
#include <float.h>
#include <limits.h>
#include <stdint.h>

#include "battery.h"

enum { MEGABYTE = 1 << 20 };

static int add(int x, int y)
{
    return x + y;
}
PP_TASK(int, add, int, x, int, y);

static double halve(double x)
{
    return x / 2;
}
PP_TASK(double, halve, double, x);

CASE(numbers)
{
    pp_pool *pool = new_pool(.processes = 2);
    double half = 0;
    int sum = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(add, 40, 2), &sum), 0);
    CHECK_EQ(sum, 42);
    CHECK_EQ(pp_apply(pool, PP_CALL(add, INT_MIN, INT_MAX), &sum), 0);
    CHECK_EQ(sum, -1);
    CHECK_EQ(pp_apply(pool, PP_CALL(halve, 0.25), &half), 0);
    CHECK_EQ(half, 0.125);
    CHECK_EQ(pp_apply(pool, PP_CALL(halve, -2 * DBL_MIN), &half), 0);
    CHECK_EQ(half, -DBL_MIN);
    finish(pool);
}

static char next_char(char c)
{
    return (char)(c + 1);
}
PP_TASK(char, next_char, char, c);

static bool negate(bool value)
{
    return !value;
}
PP_TASK(bool, negate, bool, value);

static uint64_t rotate(uint64_t x)
{
    return x << 32 | x >> 32;
}
PP_TASK(uint64_t, rotate, uint64_t, x);

static float twice(float x)
{
    return 2 * x;
}
PP_TASK(float, twice, float, x);

CASE(small_and_large_numbers)
{
    pp_pool *pool = new_pool(.processes = 1);
    uint64_t rotated = 0;
    bool negated = false;
    float doubled = 0;
    char next = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(next_char, 'a'), &next), 0);
    CHECK_EQ(next, 'b');
    CHECK_EQ(pp_apply(pool, PP_CALL(negate, false), &negated), 0);
    CHECK_EQ(negated, true);
    CHECK_EQ(pp_apply(pool, PP_CALL(rotate, 0x0123456789abcdefUL), &rotated), 0);
    CHECK_EQ(rotated, 0x89abcdef01234567UL);
    CHECK_EQ(pp_apply(pool, PP_CALL(twice, 1.5F), &doubled), 0);
    CHECK_EQ(doubled, 3.0F);
    finish(pool);
}

struct point {
    double x, y;
    char name[8];
};

static struct point mirror(struct point point, bool upside_down)
{
    if (upside_down)
        point.y = -point.y;
    else
        point.x = -point.x;
    return point;
}
PP_TASK(struct point, mirror, struct point, point, bool, upside_down);

CASE(structs)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct point point = { 1, 2, "P" };

    CHECK_EQ(pp_apply(pool, PP_CALL(mirror, point, true), &point), 0);
    CHECK(point.x > 0 && point.y < 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(mirror, point, false), &point), 0);
    CHECK(point.x < 0 && point.y < 0);
    CHECK_STR(point.name, "P");
    finish(pool);
}

struct page {
    unsigned char bytes[60000];
};

static struct page turn(struct page page)
{
    struct page turned;

    for (size_t i = 0; i < sizeof page; i++)
        turned.bytes[i] = page.bytes[sizeof page - 1 - i];
    return turned;
}
PP_TASK(struct page, turn, struct page, page);

CASE(large_structs)
{
    pp_pool *pool = new_pool(.processes = 1);
    static struct page page, turned;

    for (size_t i = 0; i < sizeof page; i++)
        page.bytes[i] = (unsigned char)(i * 7);
    CHECK_EQ(pp_apply(pool, PP_CALL(turn, page), &turned), 0);
    for (size_t i = 0; i < sizeof page; i++)
        CHECK_EQ(turned.bytes[i], page.bytes[sizeof page - 1 - i]);
    finish(pool);
}

static size_t length(const char *text)
{
    return text ? strlen(text) : SIZE_MAX;
}
PP_TASK(size_t, length, const char *, text);

static void check_echo(pp_pool *pool, const char *text)
{
    const char *back = "not stored";
    size_t size = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(echo, text), &back), 0);
    CHECK_STR(back, text);
    CHECK(!text || back != text);
    free((char *)back);
    CHECK_EQ(pp_apply(pool, PP_CALL(length, text), &size), 0);
    CHECK_EQ(size, length(text));
}

CASE(strings)
{
    pp_pool *pool = new_pool(.processes = 2);
    char *text = calloc(1, MEGABYTE + 1);

    check_echo(pool, NULL);
    check_echo(pool, "");
    check_echo(pool, "x");
    check_echo(pool, "tabs\tand\nlines, \xc3\xa4 and \xff");
    for (size_t size = 1; size <= MEGABYTE; size *= 4) {
        memset(text, 'a' + (int)(size % 25), size);
        check_echo(pool, text);
    }
    free(text);
    finish(pool);
}

static const char *greet(const char *name, int times)
{
    char *text = pp_reserve(100);

    text[0] = '\0';
    for (int i = 0; i < times && strlen(text) < 80; i++)
        snprintf(text + strlen(text), 100 - strlen(text), "hello %s. ", name);
    return text;
}
PP_TASK(const char *, greet, const char *, name, int, times);

CASE(string_that_the_task_makes)
{
    pp_pool *pool = new_pool(.processes = 1);
    const char *text = NULL, *other = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(greet, "you", 2), &text), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(greet, "me", 1), &other), 0);
    CHECK_STR(text, "hello you. hello you. ");
    CHECK_STR(other, "hello me. ");
    free((char *)text);
    free((char *)other);
    finish(pool);
}

static void check_bytes(pp_pool *pool, pp_bytes bytes)
{
    pp_bytes back = { "not stored", 10 };

    CHECK_EQ(pp_apply(pool, PP_CALL(echo_bytes, bytes), &back), 0);
    CHECK_EQ(back.size, bytes.size);
    CHECK(bytes.size == 0 || memcmp(back.data, bytes.data, bytes.size) == 0);
    free((void *)back.data);
}

CASE(bytes)
{
    pp_pool *pool = new_pool(.processes = 2);
    unsigned char *data = malloc(MEGABYTE);

    for (size_t i = 0; i < MEGABYTE; i++)
        data[i] = (unsigned char)(i * i >> 3);
    check_bytes(pool, (pp_bytes){ NULL, 0 });
    check_bytes(pool, (pp_bytes){ "", 0 });
    check_bytes(pool, (pp_bytes){ "a\0b\0", 4 });
    for (size_t size = 1; size <= MEGABYTE; size *= 4)
        check_bytes(pool, (pp_bytes){ data, size });
    free(data);
    finish(pool);
}

CASE(void_result)
{
    pp_pool *pool = new_pool(.processes = 1);
    atomic_int *counter = counter_in(pool);

    CHECK_EQ(pp_apply(pool, PP_CALL(touch, counter), NULL), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(touch, counter), NULL), 0);
    CHECK_EQ(atomic_load(counter), 2);
    finish(pool);
}

/* A value that nobody wants is dropped, of whatever kind. */
CASE(no_output)
{
    pp_pool *pool = new_pool(.processes = 1);

    CHECK_EQ(pp_apply(pool, PP_CALL(add, 1, 2), NULL), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(echo, "text"), NULL), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(echo_bytes, { "data", 4 }), NULL), 0);
    check_works(pool);
    finish(pool);
}

static const char *describe(char a, short b, int c, long d, float e, double f, bool g,
                            const char *h, pp_bytes i, struct point j, unsigned char k,
                            unsigned long l)
{
    char *text = pp_reserve(200);

    snprintf(text, 200, "%c %d %d %ld %g %g %d %s %.*s %g%s %u %lu", a, b, c, d, (double)e, f,
             g, h, (int)i.size, (const char *)i.data, j.x, j.name, k, l);
    return text;
}
PP_TASK(const char *, describe, char, a, short, b, int, c, long, d, float, e, double, f, bool,
        g, const char *, h, pp_bytes, i, struct point, j, unsigned char, k, unsigned long, l);

CASE(twelve_parameters)
{
    pp_pool *pool = new_pool(.processes = 1);
    const char *text = NULL;

    CHECK_EQ(pp_apply(pool,
                      PP_CALL(describe, 'a', -2, 3, -4, 5.5F, 6.25, true, "eight",
                              { "nine...", 4 }, { 10, 0, "th" }, 11, ULONG_MAX),
                      &text),
             0);
    CHECK_STR(text, "a -2 3 -4 5.5 6.25 1 eight nine 10th 11 18446744073709551615");
    free((char *)text);
    finish(pool);
}

CASE(arguments_by_name)
{
    pp_pool *pool = new_pool(.processes = 1);
    const char *text = NULL;
    int sum = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(add, .y = 5, .x = 3), &sum), 0);
    CHECK_EQ(sum, 8);
    CHECK_EQ(pp_apply(pool, PP_CALL(add, .y = 5), &sum), 0);
    CHECK_EQ(sum, 5);
    CHECK_EQ(pp_apply(pool, PP_CALL(greet, .times = 1, .name = "x"), &text), 0);
    CHECK_STR(text, "hello x. ");
    free((char *)text);
    finish(pool);
}

static int seven(void)
{
    return 7;
}
PP_TASK(int, seven);

CASE(no_parameters)
{
    pp_pool *pool = new_pool(.processes = 1);
    int value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(seven), &value), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(seven(), 7);
    finish(pool);
}

/* The plain functions under the macros, as other languages use them. */
CASE(without_macros)
{
    pp_pool *pool = new_pool(.processes = 1);
    PP_ARGS(add) args = { 20, 22 };
    int sum = 0;

    CHECK_EQ(pp_apply_with(pool, (pp_call){ &add_pp_task, &args }, &sum, NULL), 0);
    CHECK_EQ(sum, 42);
    finish(pool);
}

static pp_bytes fill(size_t size, int byte)
{
    char *data = pp_reserve(size);

    if (!data)
        pp_raise(errno, "no memory");
    memset(data, byte, size);
    return (pp_bytes){ data, size };
}
PP_TASK(pp_bytes, fill, size_t, size, int, byte);

CASE(results_in_reserved_memory)
{
    pp_pool *pool = new_pool(.processes = 1);

    for (size_t size = 1; size <= 4 * MEGABYTE; size *= 16) {
        pp_bytes bytes = { 0 };

        CHECK_EQ(pp_apply(pool, PP_CALL(fill, size, 'f'), &bytes), 0);
        CHECK_EQ(bytes.size, size);
        CHECK_EQ(((const char *)bytes.data)[0], 'f');
        CHECK_EQ(((const char *)bytes.data)[size - 1], 'f');
        free((void *)bytes.data);
    }
    finish(pool);
}

/* Parts of one that is reserved, and of several. */
static const char *second_of_two(const char *text)
{
    char *first = pp_reserve(100), *second = pp_reserve(100);

    snprintf(first, 100, "first");
    snprintf(second, 100, "of %s", text);
    return second + 3;
}
PP_TASK(const char *, second_of_two, const char *, text);

CASE(result_within_reserved_memory)
{
    pp_pool *pool = new_pool(.processes = 1);
    const char *text = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(second_of_two, "two"), &text), 0);
    CHECK_STR(text, "two");
    free((char *)text);
    finish(pool);
}

CASE(many_calls_in_turn)
{
    pp_pool *pool = new_pool(.processes = 2);

    for (long i = 0; i < 3000; i++) {
        long value = -1;

        CHECK_EQ(pp_apply(pool, PP_CALL(square, i), &value), 0);
        CHECK_EQ(value, i * i);
    }
    finish(pool);
}
