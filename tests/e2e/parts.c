/* SPDX-License-Identifier: MIT */
/* Values that are part of the task's own arguments. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

/* ---- Tasks ---------------------------------------------------------------- */

static pp_bytes slice(pp_bytes bytes, size_t begin, size_t size)
{
    return (pp_bytes){ (const char *)bytes.data + begin, size };
}
PP_TASK(pp_bytes, slice, pp_bytes, bytes, size_t, begin, size_t, size);

static const char *longest(const char *a, const char *b, const char *c)
{
    const char *best = strlen(a) >= strlen(b) ? a : b;

    return strlen(c) > strlen(best) ? c : best;
}
PP_TASK(const char *, longest, const char *, a, const char *, b, const char *, c);

static const char *tail(const char *text)
{
    return text + strlen(text) / 2;
}
PP_TASK(const char *, tail, const char *, text);

/* Not in its arguments but of them: the next call has others. */
static pp_bytes copied(pp_bytes bytes)
{
    static char *last;

    free(last);
    last = malloc(bytes.size);
    memcpy(last, bytes.data, bytes.size);
    return (pp_bytes){ last, bytes.size };
}
PP_TASK(pp_bytes, copied, pp_bytes, bytes);

/* Dies at its first attempt. */
static pp_bytes echo_when_retried(pp_bytes bytes)
{
    if (pp_attempt() == 1)
        raise(SIGKILL);
    return bytes;
}
PP_TASK(pp_bytes, echo_when_retried, pp_bytes, bytes);

/* ---- What comes of them --------------------------------------------------- */

static char *random_bytes(size_t size, unsigned long seed)
{
    char *bytes = malloc(size + 1);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)next_random(&seed);
    return bytes;
}

static void check_slice(pp_pool *pool, const char *data, size_t whole, size_t begin,
                        size_t size)
{
    pp_bytes value = { NULL, 1 };

    CHECK_EQ(pp_apply(pool, PP_CALL(slice, { data, whole }, begin, size), &value), 0);
    CHECK_EQ(value.size, size);
    CHECK(size == 0 || memcmp(value.data, data + begin, size) == 0);
    free((void *)value.data);
}

/* In the slot and in the arena; all of them, their ends, and small pieces. */
TEST(slices)
{
    static const size_t sizes[] = { 0, 1, 16, 17, 30, 64, 65, 1000, 4096, 70000, 5000000 };
    pp_pool *pool = pool_of(2);

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        char *data = random_bytes(size, i);

        check_slice(pool, data, size, 0, size);
        check_slice(pool, data, size, size / 3, size - size / 3);
        check_slice(pool, data, size, 0, size / 2);
        check_slice(pool, data, size, size / 2, size < 20 ? 0 : 10);
        check_slice(pool, data, size, size, 0);
        free(data);
    }
    finish(pool);
}

TEST(one_of_several_strings)
{
    static const char text[] = "a text that does not fit into the record";
    pp_pool *pool = pool_of(1);
    const char *value;

    CHECK_EQ(pp_apply(pool, PP_CALL(longest, text, "", "short"), &value), 0);
    CHECK_STR(value, text);
    free((void *)value);
    CHECK_EQ(pp_apply(pool, PP_CALL(longest, "short", text, ""), &value), 0);
    CHECK_STR(value, text);
    free((void *)value);
    CHECK_EQ(pp_apply(pool, PP_CALL(longest, "", "short", text), &value), 0);
    CHECK_STR(value, text);
    free((void *)value);
    finish(pool);
}

enum { COUNT = 500 };

static const char *texts[COUNT];

static void make_texts(void)
{
    for (int i = 0; i < COUNT; i++) {
        size_t length = (size_t)i * 3;
        char *text = malloc(length + 10);

        CHECK(text != NULL);
        memset(text, 'a' + i % 26, length);
        snprintf(text + length, 10, "%d", i);
        texts[i] = text;
    }
}

static void free_texts(void)
{
    for (int i = 0; i < COUNT; i++)
        free((void *)texts[i]);
}

static void check_tails(const char *const *values, bool owned)
{
    for (int i = 0; i < COUNT; i++) {
        CHECK_STR(values[i], tail(texts[i]));
        if (owned)
            free((void *)values[i]);
    }
}

/* Whether a map is encoded chunk by chunk or, since it does not wait, as a whole. */
TEST(maps)
{
    static const long chunks[] = { 0, 1, 7, COUNT };
    pp_pool *pool = pool_of(2);
    const char *values[COUNT];

    make_texts();
    for (int i = 0; i < 4; i++) {
        pp_result *result = pp_map_async(pool, tail, texts, COUNT, .chunksize = chunks[i]);

        CHECK_EQ(pp_get(result, values), 0);
        check_tails(values, false);
        pp_result_free(result);
        CHECK_EQ(pp_map(pool, tail, texts, COUNT, values, .chunksize = chunks[i]), 0);
        check_tails(values, true);
    }
    free_texts();
    finish(pool);
}

TEST(iterators)
{
    pp_pool *pool = pool_of(2);
    pp_iter *values;
    const char *value;
    int count = 0;

    make_texts();
    values = pp_imap(pool, tail, .items = texts, .count = COUNT, .chunksize = 9);
    for (; pp_next(values, &value) == 0; count++)
        CHECK_STR(value, tail(texts[count]));
    CHECK_EQ(count, COUNT);
    pp_iter_free(values);
    free_texts();
    finish(pool);
}

/* Results outlive the arguments that they were part of, which other calls use again. */
TEST(results_that_are_kept)
{
    enum { KEPT = 50, SIZE = 100000 };
    pp_pool *pool = pool_of(2);
    pp_result *results[KEPT];
    char *data[KEPT];

    for (size_t i = 0; i < KEPT; i++) {
        data[i] = random_bytes(SIZE, i);
        results[i] = pp_apply_async(pool, PP_CALL(slice, { data[i], SIZE }, i, SIZE - 2 * i));
    }
    for (size_t i = 0; i < KEPT; i++)
        check_slice(pool, data[i], SIZE, 0, SIZE);
    for (size_t i = 0; i < KEPT; i++) {
        pp_bytes value;

        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value.size, SIZE - 2 * i);
        CHECK_EQ(memcmp(value.data, data[i] + i, value.size), 0);
        pp_result_free(results[i]);
        free(data[i]);
    }
    finish(pool);
}

TEST(what_only_looks_like_them)
{
    pp_pool *pool = pool_of(1);
    pp_bytes value;

    for (unsigned long i = 0; i < 10; i++) {
        char *data = random_bytes(1000, i);

        CHECK_EQ(pp_apply(pool, PP_CALL(copied, { data, 1000 }), &value), 0);
        CHECK_EQ(memcmp(value.data, data, 1000), 0);
        free((void *)value.data);
        free(data);
    }
    finish(pool);
}

TEST(arguments_of_a_retried_task)
{
    pp_pool *pool = pool_of(1);
    char *data = random_bytes(200000, 1);
    pp_bytes value;

    CHECK_EQ(pp_apply(pool, PP_CALL(echo_when_retried, { data, 200000 }), &value, .retries = 1,
                      .time_limit = 60),
             0);
    CHECK_EQ(value.size, 200000);
    CHECK_EQ(memcmp(value.data, data, value.size), 0);
    free((void *)value.data);
    free(data);
    finish(pool);
}
