/* SPDX-License-Identifier: MIT */
/* pp_imap() and its kin over arrays: every value, once, in order or with its index. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static long subtract(long x, long y)
{
    return x - y;
}
PP_TASK(long, subtract, long, x, long, y);

static void nothing(long x)
{
    (void)x;
}
PP_TASK(void, nothing, long, x);

static int answer(void)
{
    return 42;
}
PP_TASK(int, answer);

static const char *echo(const char *text)
{
    return text;
}
PP_TASK(const char *, echo, const char *, text);

static pp_bytes echo_bytes(pp_bytes bytes)
{
    return bytes;
}
PP_TASK(pp_bytes, echo_bytes, pp_bytes, bytes);

static long fragile(long x)
{
    if (x % 10 == 3)
        pp_raise(7, "it is %ld", x);
    if (x % 50 == 14)
        raise(SIGKILL);
    return -x;
}
PP_TASK(long, fragile, long, x);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

/* Items that are even wait at the gate. */
static long even_wait(struct gate *gate, long x)
{
    if (x % 2 == 0)
        gate_wait(gate);
    return x;
}
PP_TASK(long, even_wait, struct gate *, gate, long, x);

static const size_t counts[] = { 0, 1, 2, 99, 1000 };
static const long chunks[] = { 0, 1, 2, 3, 7, 100 };
static const long windows[] = { 0, 1, 2, 10, 5000 };

#define EACH(i, array)                                                                        \
    size_t i = 0;                                                                             \
    i < sizeof array / sizeof array[0];                                                       \
    i++

static long numbers[1000];

static void number(void)
{
    for (long i = 0; i < 1000; i++)
        numbers[i] = i;
}

static void check_order(pp_pool *pool, size_t count, long chunk, long window)
{
    pp_iter *iter = pp_imap(pool, square, .items = numbers, .count = count, .chunksize = chunk,
                            .window = window);
    size_t index = SIZE_MAX;
    long value = -1;

    CHECK(iter != NULL);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(pp_next(iter, &value, .index = &index), 0);
        CHECK_EQ(value, (long)(i * i));
        CHECK_EQ(index, i);
        CHECK(!pp_iter_error(iter));
    }
    value = -1;
    index = SIZE_MAX;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(iter, &value, .index = &index), PP_STOP_ITERATION);
    CHECK_EQ(value, -1);
    CHECK_EQ(index, SIZE_MAX);
    CHECK(!pp_iter_error(iter));
    pp_iter_free(iter);
}

TEST(in_order, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    number();
    for (EACH(n, counts))
        for (EACH(c, chunks))
            for (EACH(w, windows))
                check_order(pool, counts[n], chunks[c], windows[w]);
    finish(pool);
}

static void check_once(pp_pool *pool, size_t count, long chunk, long window)
{
    pp_iter *iter = pp_imap_unordered(pool, square, .items = numbers, .count = count,
                                      .chunksize = chunk, .window = window);
    bool seen[1000] = { false };

    CHECK(iter != NULL);
    for (size_t i = 0; i < count; i++) {
        size_t index = SIZE_MAX;
        long value = -1;

        CHECK_EQ(pp_next(iter, &value, .index = &index), 0);
        CHECK(index < count && !seen[index]);
        CHECK_EQ(value, (long)(index * index));
        seen[index] = true;
    }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    pp_iter_free(iter);
}

TEST(unordered, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    number();
    for (EACH(n, counts))
        for (EACH(c, chunks))
            for (EACH(w, windows))
                check_once(pool, counts[n], chunks[c], windows[w]);
    finish(pool);
}

/* What is done is handed out, whatever was drawn before it. */
TEST(unordered_as_they_come)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    PP_ARGS(even_wait) items[9];
    pp_iter *iter;
    size_t index;
    long value;

    for (long i = 0; i < 9; i++)
        items[i] = (PP_ARGS(even_wait)){ gate, i ? 2 * i - 1 : 0 };
    iter = pp_istarmap_unordered(pool, even_wait, .items = items, .count = 9);
    for (size_t i = 1; i < 9; i++) {
        CHECK_EQ(pp_next(iter, &value, .index = &index), 0);
        CHECK_EQ(index, i);
        CHECK_EQ(value, 2 * (long)i - 1);
    }
    CHECK_EQ(pp_next(iter, &value, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(pp_next(iter, &value, .timeout = 0.01), -ETIMEDOUT);
    gate_open(gate);
    CHECK_EQ(pp_next(iter, &value, .index = &index), 0);
    CHECK_EQ(index, 0);
    CHECK_EQ(value, 0);
    CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
    finish(pool);
    gate_free(gate);
}

/* In order: what is behind an item that lasts waits for it. */
TEST(timeout_and_on)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    PP_ARGS(even_wait) items[] = { { gate, 1 }, { gate, 2 }, { gate, 3 } };
    pp_iter *iter = pp_istarmap(pool, even_wait, .items = items, .count = 3);
    size_t index = 77;
    long value = 0;

    CHECK_EQ(pp_next(iter, &value), 0);
    CHECK_EQ(value, 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(iter, &value, .timeout = i * 0.005, .index = &index), -ETIMEDOUT);
    CHECK_EQ(pp_next(iter, &value, .timeout = -1), -ETIMEDOUT);
    CHECK_EQ(value, 1);
    CHECK_EQ(index, 77);
    gate_open(gate);
    CHECK_EQ(pp_next(iter, &value), 0);
    CHECK_EQ(value, 2);
    CHECK_EQ(pp_next_with(iter, &value, NULL), 0);
    CHECK_EQ(value, 3);
    CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
    finish(pool);
    gate_free(gate);
}

TEST(starmap)
{
    pp_pool *pool = pool_of(2);
    PP_ARGS(subtract) items[50];

    for (long i = 0; i < 50; i++)
        items[i] = (PP_ARGS(subtract)){ 3 * i, i };
    for (EACH(c, chunks)) {
        pp_iter *iter =
            pp_istarmap(pool, subtract, .items = items, .count = 50, .chunksize = chunks[c]);
        long value;

        for (long i = 0; i < 50; i++) {
            CHECK_EQ(pp_next(iter, &value), 0);
            CHECK_EQ(value, 2 * i);
        }
        CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
    }
    finish(pool);
}

TEST(void_task_and_no_parameters)
{
    pp_pool *pool = pool_of(2);
    pp_iter *iter = pp_imap(pool, nothing, .items = numbers, .count = 5);
    int value = 0;

    for (int i = 0; i < 5; i++)
        CHECK_EQ(pp_next(iter, NULL), 0);
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    iter = pp_istarmap(pool, answer, .count = 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, 42);
    }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    finish(pool);
}

/* ---- Strings and bytes ---- */

TEST(strings)
{
    enum { COUNT = 100 };
    pp_pool *pool = pool_of(2);
    char texts[COUNT][64];
    const char *items[COUNT];

    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof texts[i], "text number %d", i);
        items[i] = i % 10 == 5 ? NULL : i % 10 == 6 ? "" : texts[i];
    }
    for (EACH(c, chunks)) {
        pp_iter *iter =
            pp_imap(pool, echo, .items = items, .count = COUNT, .chunksize = chunks[c]);
        const char *value = "";

        for (int i = 0; i < COUNT; i++) {
            CHECK_EQ(pp_next(iter, &value), 0);
            CHECK(value != items[i] || !value);
            CHECK_STR(value, items[i]);
            CHECK(!pp_iter_error(iter));
            CHECK_STR(value, items[i]); /* lives until the next call */
        }
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    }
    finish(pool);
}

TEST(bytes_of_all_sizes)
{
    static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 4095, 4097, 200000, 3000000 };
    static unsigned char data[3000000];
    pp_bytes items[sizeof sizes / sizeof sizes[0]];
    pp_pool *pool = pool_of(2);

    for (EACH(i, data))
        data[i] = (unsigned char)(i * 7 + i / 256);
    for (EACH(i, sizes))
        items[i] = (pp_bytes){ data, sizes[i] };
    for (EACH(c, chunks)) {
        pp_iter *iter =
            pp_imap(pool, echo_bytes, .items = items, .count = sizeof sizes / sizeof sizes[0],
                    .chunksize = chunks[c]);
        pp_bytes value;

        for (EACH(i, sizes)) {
            CHECK_EQ(pp_next(iter, &value), 0);
            CHECK_EQ(value.size, sizes[i]);
            CHECK(memcmp(value.data, data, value.size) == 0);
        }
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
        pp_iter_free(iter);
    }
    finish(pool);
}

/* ---- Items that fail ---- */

static void check_item(pp_iter *iter, int code, size_t index, long value)
{
    long x = (long)index;
    const pp_error *error = pp_iter_error(iter);
    char text[64];

    if (x % 10 == 3) {
        CHECK_EQ(code, PP_ERAISED);
        CHECK_EQ(error->kind, PP_RAISED);
        CHECK_EQ(error->code, 7);
        snprintf(text, sizeof text, "it is %ld", x);
        CHECK_STR(error->message, text);
    } else if (x % 50 == 14) {
        CHECK_EQ(code, PP_ECRASHED);
        CHECK_EQ(error->kind, PP_CRASHED);
        CHECK_EQ(error->signal, SIGKILL);
        snprintf(text, sizeof text, "with item %ld was killed", x);
        CHECK_HAS(error->message, text);
        CHECK(error->pid > 0);
    } else {
        CHECK_EQ(code, 0);
        CHECK_EQ(value, -x);
        CHECK(!error);
        return;
    }
    CHECK_EQ(error->index, index);
    CHECK_EQ(error->size, sizeof(pp_error));
    CHECK_STR(error->function, "fragile");
    CHECK_EQ(value, 4711);
}

TEST(failures_in_chunks, .timeout = 120)
{
    enum { COUNT = 200 };
    pp_pool *pool = pool_of(2);

    number();
    for (int ordered = 0; ordered < 2; ordered++)
        for (EACH(c, chunks)) {
            bool seen[COUNT] = { false };
            pp_iter *iter = ordered
                                ? pp_imap(pool, fragile, .items = numbers, .count = COUNT,
                                          .chunksize = chunks[c])
                                : pp_imap_unordered(pool, fragile, .items = numbers,
                                                    .count = COUNT, .chunksize = chunks[c]);

            for (size_t i = 0; i < COUNT; i++) {
                long value = 4711;
                size_t index = SIZE_MAX;
                int code = pp_next(iter, &value, .index = &index);

                CHECK(index < COUNT && !seen[index] && (!ordered || index == i));
                seen[index] = true;
                check_item(iter, code, index, value);
            }
            CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
            CHECK(!pp_iter_error(iter));
            pp_iter_free(iter);
        }
    finish(pool);
}

TEST(item_that_makes_no_sense)
{
    pp_pool *pool = pool_of(2);
    pp_bytes items[] = {
        { "a", 1 }, { NULL, 5 }, { "b", 1 }, { "", SIZE_MAX / 2 }, { "c", 1 }
    };

    for (EACH(c, chunks)) {
        pp_iter *iter =
            pp_imap(pool, echo_bytes, .items = items, .count = 5, .chunksize = chunks[c]);
        pp_bytes value;
        size_t index;

        for (size_t i = 0; i < 5; i++) {
            int code = pp_next(iter, &value, .index = &index);

            CHECK_EQ(index, i);
            CHECK_EQ(code, i % 2 ? PP_ERAISED : 0);
            if (i % 2 == 0)
                CHECK_EQ(*(const char *)value.data, "abc"[i / 2]);
            else
                CHECK_EQ(pp_iter_error(iter)->code, i == 1 ? EINVAL : ENOMEM);
        }
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    }
    finish(pool);
}

/* ---- Several ---- */

TEST(interleaved)
{
    pp_pool *pool = pool_of(2);
    pp_iter *first, *second;
    long value;

    number();
    first = pp_imap(pool, square, .items = numbers, .count = 1000, .window = 5);
    second = pp_imap(pool, square, .items = numbers, .count = 1000, .chunksize = 3);
    for (long i = 0; i < 1000; i++) {
        CHECK_EQ(pp_next(first, &value), 0);
        CHECK_EQ(value, i * i);
        CHECK_EQ(pp_apply(pool, PP_CALL(subtract, i, 1), &value), 0);
        CHECK_EQ(value, i - 1);
        CHECK_EQ(pp_next(second, &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_next(first, &value), PP_STOP_ITERATION);
    CHECK_EQ(pp_next(second, &value), PP_STOP_ITERATION);
    finish(pool);
}

struct share {
    pp_iter *iter;
    atomic_uchar seen[1000];
    atomic_int items, ends;
};

static void *read_share(void *user)
{
    struct share *share = user;
    size_t index;
    long value;
    int code;

    while ((code = pp_next(share->iter, &value, .index = &index)) == 0) {
        CHECK(index < 1000);
        CHECK_EQ(value, (long)(index * index));
        CHECK_EQ(atomic_fetch_add(&share->seen[index], 1), 0);
        atomic_fetch_add(&share->items, 1);
    }
    CHECK_EQ(code, PP_STOP_ITERATION);
    atomic_fetch_add(&share->ends, 1);
    return NULL;
}

static void check_threads(pp_pool *pool, bool ordered, long chunk, long window)
{
    struct share share = { .items = 0 };
    pthread_t readers[4];

    share.iter = ordered ? pp_imap(pool, square, .items = numbers, .count = 1000,
                                   .chunksize = chunk, .window = window)
                         : pp_imap_unordered(pool, square, .items = numbers, .count = 1000,
                                             .chunksize = chunk, .window = window);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&readers[i], NULL, read_share, &share), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(readers[i], NULL), 0);
    CHECK_EQ(atomic_load(&share.items), 1000);
    CHECK_EQ(atomic_load(&share.ends), 4);
    pp_iter_free(share.iter);
}

TEST(several_threads, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    number();
    for (EACH(w, windows))
        for (int i = 0; i < 4; i++)
            check_threads(pool, i % 2, i < 2 ? 1 : 3, windows[w]);
    finish(pool);
}

TEST(more_than_there_are_slots, .timeout = 60)
{
    enum { COUNT = 20000 };
    static PP_ARGS(wait_and_square) items[COUNT];
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_iter *iter;
    long value;

    for (long i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(wait_and_square)){ gate, i };
    iter = pp_istarmap(pool, wait_and_square, .items = items, .count = COUNT, .window = COUNT);
    memset(items, -1, sizeof items); /* all of them are drawn */
    gate_open(gate);
    for (long i = 0; i < COUNT; i++) {
        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
    finish(pool);
    gate_free(gate);
}
