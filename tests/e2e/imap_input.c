/* SPDX-License-Identifier: MIT */
/* pp_imap() with an input function: how often it is called, and what it stores. */
#include <stdio.h>

#include "source.h"

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

static const char *join_words(const char *first, long number, const char *second)
{
    static char text[64];

    snprintf(text, sizeof text, "%s %ld %s", first, number, second ? second : "-");
    return text;
}
PP_TASK(const char *, join_words, const char *, first, long, number, const char *, second);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

static bool draw_gated(void *item, void *user)
{
    PP_ARGS(wait_and_square) *args = item;

    args->gate = ((struct source *)user)->gate;
    return draw(&args->x, user);
}

/* ---- What it gives ---- */

static bool draw_nothing(void *item, void *user)
{
    (void)item;
    ++*(int *)user;
    return false;
}

TEST(all_counts_chunks_and_windows, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    for (EACH(n, counts))
        for (EACH(c, chunks))
            for (EACH(w, windows))
                for (int ordered = 0; counts[n] > 0 && ordered < 2; ordered++)
                    check(pool, counts[n], chunks[c], windows[w], ordered);
    finish(pool);
}

TEST(empty)
{
    pp_pool *pool = pool_of(1);
    int calls = 0;
    pp_iter *iter = pp_imap(pool, square, .input = draw_nothing, .user = &calls);

    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK_EQ(calls, 1);
    finish(pool);
}

/* A thousand items of an endless input, and no more than a window is drawn beyond. */
TEST(endless)
{
    pp_pool *pool = pool_of(2);
    struct source sources[4]; /* they live as long as iterators that are not freed */

    for (int i = 0; i < 4; i++) {
        struct source *source = &sources[i];
        long value;
        pp_iter *iter;

        *source = source_of(0);
        source->window = 1 + 20 * i;
        iter = pp_imap(pool, square, .input = draw, .user = source, .window = source->window,
                       .chunksize = i);
        for (long n = 0; n < 1000; n++) {
            CHECK_EQ(pp_next(iter, &value), 0);
            CHECK_EQ(value, n * n);
            source->read++;
        }
        CHECK(source->next <= 1000 + source->window);
        if (i % 2)
            pp_iter_free(iter);
    }
    finish(pool);
}

/* What is there is given at once: no more is drawn before than what was read makes room for. */
TEST(what_is_ready_is_not_kept_back)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    struct source source = source_of(0);
    pp_iter *iter;
    long value, drawn;

    source.gate = gate;
    source.window = 50;
    iter =
        pp_istarmap(pool, wait_and_square, .input = draw_gated, .user = &source, .window = 50);
    CHECK_EQ(pp_next(iter, &value, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(source.next, 50); /* all that fits */
    CHECK_EQ(pp_next(iter, &value, .timeout = 0.01), -ETIMEDOUT);
    CHECK_EQ(source.next, 50);
    gate_open(gate);
    CHECK_SOON(atomic_load(&gate->passed) == 50);
    for (int i = 0; i < 30; i++) {
        drawn = source.next;
        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK(source.next <= drawn + 1);
        source.read++;
    }
    pp_iter_free(iter);
    finish(pool);
    gate_free(gate);
}

static bool draw_slowly(void *item, void *user)
{
    struct source *source = user;

    CHECK_EQ(pp_apply(source->pool, PP_CALL(square, 1), NULL), 0); /* what was drawn is done */
    return draw(item, user);
}

/* Even if the window is almost empty. */
TEST(what_is_ready_is_not_kept_back_to_fill_the_window)
{
    pp_pool *pool = pool_of(1);
    struct source source = source_of(0);
    pp_iter *iter;

    source.pool = pool;
    iter = pp_imap(pool, square, .input = draw_slowly, .user = &source, .window = 1000);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(pp_next(iter, NULL), 0);
        CHECK(source.next <= i + 3);
    }
    finish(pool);
}

static bool draw_and_nap(void *item, void *user)
{
    harness_nap();
    return draw(item, user);
}

/* Nor does the window go on filling when the time is over. */
TEST(time_is_over_while_drawing)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    struct source source = source_of(0);
    PP_ARGS(wait_and_square) items[] = { { gate, 3 } };
    pp_result *result = pp_starmap_async(pool, wait_and_square, items, 1);
    pp_iter *iter =
        pp_imap(pool, square, .input = draw_and_nap, .user = &source, .window = 1000000);

    CHECK_EQ(pp_next(iter, NULL, .timeout = 0.02), -ETIMEDOUT);
    CHECK(source.next > 0);
    CHECK_EQ(pp_next(iter, NULL, .timeout = 0.02), -ETIMEDOUT);
    CHECK_EQ(pp_wait(result, .timeout = 0.02), -ETIMEDOUT);
    CHECK(source.next < 1000);
    gate_open(gate);
    CHECK_EQ(pp_next(iter, NULL), 0);
    finish(pool);
    gate_free(gate);
}

/* ---- What it stores ---- */

struct lines {
    char *buffer; /* one for all */
    long next, limit;
};

static bool next_line(void *item, void *user)
{
    struct lines *lines = user;

    if (lines->next == lines->limit) {
        memset(lines->buffer, 'X', 63);
        return false;
    }
    snprintf(lines->buffer, 64, "line %ld%.*s", lines->next, (int)(lines->next % 40),
             "........................................");
    lines->next++;
    *(const char **)item = lines->next % 13 == 0 ? NULL : lines->buffer;
    return true;
}

TEST(one_buffer_for_all_strings)
{
    pp_pool *pool = pool_of(2);
    char buffer[64], wanted[64];

    for (EACH(c, chunks)) {
        struct lines lines = { buffer, 0, 500 }, again = { wanted, 0, 500 };
        pp_iter *iter =
            pp_imap(pool, echo, .input = next_line, .user = &lines, .chunksize = chunks[c]);
        const char *value, *expected;

        while (next_line(&expected, &again)) {
            CHECK_EQ(pp_next(iter, &value), 0);
            CHECK_STR(value, expected);
        }
        CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
    }
    finish(pool);
}

static bool next_block(void *item, void *user)
{
    static char block[70000];
    struct lines *lines = user;
    size_t size = (size_t)(lines->next * 7919 % 70000);

    if (lines->next == lines->limit)
        return false;
    memset(block, (int)('a' + lines->next % 26), sizeof block);
    lines->next++;
    *(pp_bytes *)item = (pp_bytes){ size ? block : NULL, size };
    return true;
}

TEST(one_buffer_for_all_bytes)
{
    pp_pool *pool = pool_of(2);

    for (EACH(c, chunks)) {
        struct lines lines = { .limit = 150 };
        pp_iter *iter = pp_imap(pool, echo_bytes, .input = next_block, .user = &lines,
                                .chunksize = chunks[c]);
        pp_bytes value;

        for (long i = 0; i < 150; i++) {
            CHECK_EQ(pp_next(iter, &value), 0);
            CHECK_EQ(value.size, (size_t)(i * 7919 % 70000));
            for (size_t at = 0; at < value.size; at++)
                if (((const char *)value.data)[at] != 'a' + i % 26)
                    FAIL("byte %zu of item %ld", at, i);
        }
        CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
        pp_iter_free(iter);
    }
    finish(pool);
}

static bool next_words(void *item, void *user)
{
    static char first[16], second[16];
    PP_ARGS(join_words) *words = item;
    long *next = user;

    if (*next == 100)
        return false;
    snprintf(first, sizeof first, "a%d", (int)*next);
    snprintf(second, sizeof second, "b%d", (int)*next);
    words->first = first;
    words->number = *next;
    if (*next % 3)
        words->second = second; /* otherwise it is what it was: NULL */
    ++*next;
    return true;
}

TEST(starmap_of_strings)
{
    pp_pool *pool = pool_of(2);
    char wanted[80];

    for (EACH(c, chunks)) {
        long next = 0;
        pp_iter *iter = pp_istarmap_unordered(pool, join_words, .input = next_words,
                                              .user = &next, .chunksize = chunks[c]);
        const char *value;
        size_t index;

        for (int i = 0; i < 100; i++) {
            CHECK_EQ(pp_next(iter, &value, .index = &index), 0);
            if (index % 3)
                snprintf(wanted, sizeof wanted, "a%zu %zu b%zu", index, index, index);
            else
                snprintf(wanted, sizeof wanted, "a%zu %zu -", index, index);
            CHECK_STR(value, wanted);
        }
        CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
    }
    finish(pool);
}

/* Every third makes no sense: it fails, and the others are run. */
static bool next_bad(void *item, void *user)
{
    static char letter;
    long *next = user;

    if (*next == 20)
        return false;
    letter = (char)('a' + *next);
    *(pp_bytes *)item = (pp_bytes){ *next % 3 == 1 ? NULL : &letter, 1 };
    ++*next;
    return true;
}

TEST(items_that_make_no_sense)
{
    pp_pool *pool = pool_of(2);

    for (EACH(c, chunks))
        for (EACH(w, windows)) {
            long next = 0;
            pp_iter *iter = pp_imap(pool, echo_bytes, .input = next_bad, .user = &next,
                                    .chunksize = chunks[c], .window = windows[w]);
            pp_bytes value;
            size_t index;

            for (size_t i = 0; i < 20; i++) {
                int code = pp_next(iter, &value, .index = &index);

                CHECK_EQ(index, i);
                CHECK_EQ(code, i % 3 == 1 ? PP_ERAISED : 0);
                if (code == 0)
                    CHECK_EQ(*(const char *)value.data, (char)('a' + i));
                else
                    CHECK_EQ(pp_iter_error(iter)->code, EINVAL);
            }
            CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
        }
    finish(pool);
}
