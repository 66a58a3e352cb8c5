/* SPDX-License-Identifier: MIT */
/* pp_imap() with an input function: when it is called, how often, where, and what it may do. */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

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

static const size_t counts[] = { 0, 1, 2, 99, 1000 };
static const long chunks[] = { 0, 1, 2, 3, 7, 100 };
static const long windows[] = { 0, 1, 2, 10, 5000 };

#define EACH(i, array)                                                                        \
    size_t i = 0;                                                                             \
    i < sizeof array / sizeof array[0];                                                       \
    i++

/* The naturals below a limit, and what is known of how they were asked for. */
struct source {
    long next, limit; /* limit 0: none */
    long window;      /* if set: so many may be drawn and not read */
    long read;
    bool ended;
    bool inside;
    pthread_t thread;
    struct gate *gate;
    pp_pool *pool;
};

static bool draw(void *item, void *user)
{
    struct source *source = user;

    CHECK(!source->inside);
    CHECK(!source->ended);
    CHECK(pthread_equal(source->thread, pthread_self()));
    CHECK_EQ(*(long *)item, 0);
    source->inside = true;
    if (source->limit && source->next == source->limit) {
        source->ended = true;
        source->inside = false;
        *(long *)item = 4711;
        return false;
    }
    *(long *)item = source->next++;
    if (source->window)
        CHECK(source->next - source->read <= source->window);
    source->inside = false;
    return true;
}

static bool draw_gated(void *item, void *user)
{
    PP_ARGS(wait_and_square) *args = item;

    args->gate = ((struct source *)user)->gate;
    return draw(&args->x, user);
}

static struct source source_of(long limit)
{
    return (struct source){ .limit = limit, .thread = pthread_self() };
}

/* ---- What it gives ---- */

static void check(pp_pool *pool, size_t count, long chunk, long window, bool ordered)
{
    struct source source = source_of((long)count);
    pp_iter *iter;
    bool seen[1000] = { false };

    source.ended = false;
    source.window = window ? window : 0;
    iter = ordered ? pp_imap(pool, square, .input = draw, .user = &source, .chunksize = chunk,
                             .window = window)
                   : pp_imap_unordered(pool, square, .input = draw, .user = &source,
                                       .chunksize = chunk, .window = window);
    CHECK(iter != NULL);
    CHECK_EQ(source.next, 0); /* nothing is drawn yet */
    for (size_t i = 0; i < count; i++) {
        size_t index = (size_t)-1;
        long value = -1;

        CHECK_EQ(pp_next(iter, &value, .index = &index), 0);
        source.read++;
        CHECK(index < count && !seen[index] && (!ordered || index == i));
        CHECK_EQ(value, (long)(index * index));
        seen[index] = true;
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK(source.ended);
    pp_iter_free(iter);
}

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

/* ---- Where it is called ---- */

/* While its thread waits for something else of the pool it goes on drawing. */
TEST(in_other_waits)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    struct source source = source_of(0);
    pp_iter *iter = pp_imap(pool, square, .input = draw, .user = &source, .window = 30);
    PP_ARGS(wait_and_square) items[] = { { gate, 3 } };
    pp_result *result = pp_starmap_async(pool, wait_and_square, items, 1);
    long value;

    CHECK_EQ(pp_wait(result, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(source.next, 0); /* that is no wait */
    CHECK_EQ(pp_wait(result, .timeout = 0.01), -ETIMEDOUT);
    CHECK_EQ(source.next, 30);
    gate_open(gate);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 9);
    CHECK_EQ(source.next, 30);
    CHECK_EQ(pp_next(iter, &value), 0);
    CHECK_EQ(source.next, 30); /* as many as fit before it was read */
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 5), &value), 0);
    CHECK(source.next >= 30 && source.next <= 31);
    finish(pool);
    gate_free(gate);
}

static void *wait_elsewhere(void *result)
{
    CHECK_EQ(pp_wait(result, .timeout = 0.01), -ETIMEDOUT);
    return NULL;
}

/* Not in another thread that waits. */
TEST(in_no_other_thread)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    struct source source = source_of(0);
    pp_iter *iter = pp_imap(pool, square, .input = draw, .user = &source, .window = 30);
    PP_ARGS(wait_and_square) items[] = { { gate, 3 } };
    pp_result *result = pp_starmap_async(pool, wait_and_square, items, 1);
    pthread_t other;
    long value;

    CHECK_EQ(pthread_create(&other, NULL, wait_elsewhere, result), 0);
    CHECK_EQ(pthread_join(other, NULL), 0);
    CHECK_EQ(source.next, 0); /* draw() checks the thread, too */
    gate_open(gate);
    CHECK_EQ(pp_next(iter, &value), 0);
    finish(pool);
    gate_free(gate);
}

struct nest {
    struct source inner, outer;
    pp_result *result;
    bool inside;
};

static bool draw_inner(void *item, void *user)
{
    CHECK(!((struct nest *)user)->inside);
    return draw(item, &((struct nest *)user)->inner);
}

static bool draw_outer(void *item, void *user)
{
    struct nest *nest = user;

    nest->inside = true;
    CHECK_EQ(pp_wait(nest->result, .timeout = 0.001), -ETIMEDOUT);
    nest->inside = false;
    return draw(item, &nest->outer);
}

/* An input function that waits is not interrupted by others. */
TEST(one_inside_another)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    struct nest nest = { source_of(0), source_of(0), NULL, false };
    PP_ARGS(wait_and_square) items[] = { { gate, 3 } };
    pp_iter *inner, *outer;

    nest.result = pp_starmap_async(pool, wait_and_square, items, 1);
    inner = pp_imap(pool, square, .input = draw_inner, .user = &nest, .window = 5);
    outer = pp_imap(pool, square, .input = draw_outer, .user = &nest, .window = 5);
    CHECK_EQ(pp_next(outer, NULL, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(nest.outer.next, 5);
    CHECK_EQ(nest.inner.next, 0);
    CHECK_EQ(pp_wait(nest.result, .timeout = 0.01), -ETIMEDOUT);
    CHECK_EQ(nest.inner.next, 5);
    gate_open(gate);
    CHECK_EQ(pp_next(inner, NULL), 0);
    pp_iter_free(outer);
    finish(pool);
    gate_free(gate);
}

struct called {
    pp_pool *pool;
    struct source source;
    pp_iter *iter;
    long sum;
    atomic_int calls;
};

static void read_all(pp_result *result, void *user)
{
    struct called *called = user;
    long value;

    (void)result;
    called->source = source_of(100);
    called->iter =
        pp_imap(called->pool, square, .input = draw, .user = &called->source, .window = 7);
    while (pp_next(called->iter, &value) == 0)
        called->sum += value;
    atomic_fetch_add(&called->calls, 1);
}

static void check_in_callback(pp_pool *pool)
{
    struct called called = { .pool = pool };
    pp_result *result;

    result = pp_apply_async(pool, PP_CALL(square, 1), .callback = read_all, .user = &called);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&called.calls), 1);
    CHECK_EQ(called.sum, 328350);
    CHECK_EQ(pp_next(called.iter, NULL), PP_STOP_ITERATION);
    pp_iter_free(called.iter);
}

TEST(in_a_callback)
{
    size_t before = threads();
    pp_pool *pool = pool_of(2);

    check_in_callback(pool);
    finish(pool);
    pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL);
    check_in_callback(pool);
    CHECK_EQ(threads(), before);
    finish(pool);
}

static void read_one(pp_result *result, void *user)
{
    struct called *called = user;
    pthread_t before = called->source.thread;
    long value;

    (void)result;
    called->source.thread = pthread_self();
    CHECK_EQ(pp_next(called->iter, &value), 0);
    called->source.thread = before;
    atomic_fetch_add(&called->calls, 1);
}

static void count_call(pp_result *result, void *user)
{
    struct called *called = user;

    (void)result;
    atomic_fetch_add(&called->calls, 1);
}

/* The library's own thread has used an iterator, in a callback: afterwards it draws nothing. */
TEST(not_in_the_service_thread)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    struct called called = { .source = source_of(0) };
    PP_ARGS(wait_and_square) item = { gate, 3 };
    pp_result *first, *second;
    long drawn;

    called.iter = pp_imap(pool, square, .input = draw, .user = &called.source, .window = 30);
    first = pp_apply_async(pool, PP_CALL(square, 1), .callback = read_one, .user = &called);
    CHECK_SOON(atomic_load(&called.calls) == 1);
    CHECK_EQ(pp_wait(first), 0);
    drawn = called.source.next;
    second = pp_starmap_async(pool, wait_and_square, &item, 1, .callback = count_call,
                              .user = &called); /* the service thread waits for it */
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    gate_open(gate);
    CHECK_SOON(atomic_load(&called.calls) == 2);
    CHECK_EQ(called.source.next, drawn);
    CHECK_EQ(pp_wait(second), 0);
    finish(pool);
    gate_free(gate);
}

TEST(no_thread_with_polled_callbacks)
{
    size_t before = threads();
    pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL);

    CHECK(pool != NULL);
    for (EACH(c, chunks))
        for (int ordered = 0; ordered < 2; ordered++)
            check(pool, 1000, chunks[c], 5000, ordered);
    CHECK_EQ(threads(), before);
    finish(pool);
}

/* None is needed either where there may be one, as long as few results are ahead. */
TEST(no_thread_needed)
{
    size_t before = threads();
    pp_pool *pool = pool_of(2);

    for (EACH(c, chunks))
        check(pool, 1000, chunks[c], 0, true);
    CHECK_EQ(threads(), before);
    finish(pool);
}

static int say(struct gate *gate)
{
    atomic_fetch_add(&gate->passed, 1);
    return 0;
}
PP_TASK(int, say, struct gate *, gate);

static bool next_number(void *item, void *user)
{
    static char text[32];

    snprintf(text, sizeof text, "%ld", ++*(long *)user);
    *(const char **)item = text;
    return true;
}

/* Results that nobody reads do not keep the workers from what else there is to do. */
TEST(unread_results_do_not_clog)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    long next = 0;
    pp_iter *iter = pp_imap(pool, echo, .input = next_number, .user = &next, .chunksize = 10,
                            .window = 4000);

    CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1)) != NULL);
    CHECK_EQ(pp_next(iter, NULL, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(next, 4000);
    CHECK(pp_apply_async(pool, PP_CALL(say, gate)) != NULL);
    gate_open(gate);
    CHECK_SOON(atomic_load(&gate->passed) == 2);
    finish(pool);
    gate_free(gate);
}

/* ---- What it may do ---- */

enum deed { APPLY, MAP, SUBMIT, NEXT, FREE, POOL_FREE, JOIN, TERMINATE, OTHER_NEXT };

struct doer {
    struct source source;
    enum deed deed;
    pp_pool *pool;
    pp_iter *iter, *other;
    pp_result *result;
    long calls;
    int codes[10];
};

static int act(struct doer *doer)
{
    long value = 0, items[] = { 1, 2, 3 }, out[3];
    int code;

    switch (doer->deed) {
    case APPLY:
        code = pp_apply(doer->pool, PP_CALL(square, 3), &value);
        return code ? code : (int)value;
    case MAP:
        code = pp_map(doer->pool, square, items, 3, out);
        return code ? code : (int)(out[0] + out[1] + out[2]);
    case SUBMIT:
        doer->result = pp_apply_async(doer->pool, PP_CALL(square, 3));
        return doer->result ? 0 : -errno;
    case NEXT:
        return pp_next(doer->iter, &value);
    case FREE:
        pp_iter_free(doer->iter);
        return 0;
    case POOL_FREE:
        return pp_pool_free(doer->pool);
    case JOIN:
        return pp_join(doer->pool);
    case TERMINATE:
        return pp_terminate(doer->pool);
    case OTHER_NEXT:
        code = pp_next(doer->other, &value);
        return code ? code : (int)value;
    }
    return -ENOSYS;
}

static bool draw_and_act(void *item, void *user)
{
    struct doer *doer = user;

    if (doer->calls < 10)
        doer->codes[doer->calls] = act(doer);
    doer->calls++;
    return draw(item, &doer->source);
}

static struct doer doer_of(pp_pool *pool, enum deed deed, long limit)
{
    return (struct doer){ .source = source_of(limit), .deed = deed, .pool = pool };
}

#define START(doer, ...)                                                                      \
    ((doer).iter =                                                                            \
         pp_imap((doer).pool, square, .input = draw_and_act, .user = &(doer), ##__VA_ARGS__))

static void check_squares(pp_iter *iter, long count)
{
    long value;

    for (long i = 0; i < count; i++) {
        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
}

TEST(input_that_uses_the_pool)
{
    static const enum deed deeds[] = { APPLY, MAP, SUBMIT, NEXT, POOL_FREE, JOIN };
    static const int codes[] = { 9, 14, 0, -EDEADLK, -EDEADLK, -EDEADLK };
    pp_pool *pool = pool_of(2);

    for (EACH(i, deeds))
        for (EACH(c, chunks)) {
            struct doer doer = doer_of(pool, deeds[i], 20);

            START(doer, .chunksize = chunks[c]);
            check_squares(doer.iter, 20);
            CHECK_EQ(doer.calls, 21);
            for (int call = 0; call < 10; call++)
                CHECK_EQ(doer.codes[call], codes[i]);
        }
    finish(pool);
}

TEST(input_that_reads_another_iterator)
{
    pp_pool *pool = pool_of(2);
    struct source source = source_of(0);
    struct doer doer = doer_of(pool, OTHER_NEXT, 20);

    doer.other = pp_imap(pool, square, .input = draw, .user = &source);
    START(doer);
    check_squares(doer.iter, 20);
    for (int call = 0; call < 10; call++)
        CHECK_EQ(doer.codes[call], call * call);
    finish(pool);
}

/* It is not called again, and whoever waited for an item learns that there is none. */
TEST(input_that_frees_its_iterator)
{
    pp_pool *pool = pool_of(2);

    for (EACH(c, chunks)) {
        struct doer doer = doer_of(pool, FREE, 0);
        pp_result *result;
        long value = 77;

        START(doer, .chunksize = chunks[c]);
        CHECK_EQ(pp_next(doer.iter, &value), PP_STOP_ITERATION);
        CHECK_EQ(value, 77);
        CHECK_EQ(doer.calls, 1);
        doer = doer_of(pool, FREE, 0); /* in another wait */
        START(doer, .chunksize = chunks[c]);
        result = pp_apply_async(pool, PP_CALL(square, 7));
        CHECK_EQ(pp_get(result, &value), 0);
        CHECK_EQ(value, 49);
        CHECK(doer.calls <= 1);
        if (doer.calls == 0)
            pp_iter_free(doer.iter);
    }
    finish(pool);
}

TEST(input_that_terminates)
{
    for (EACH(c, chunks)) {
        pp_pool *pool = pool_of(2);
        struct doer doer = doer_of(pool, TERMINATE, 0);
        int code, items = 0;

        START(doer, .chunksize = chunks[c]);
        while ((code = pp_next(doer.iter, NULL)) == PP_ECANCELLED)
            items++;
        CHECK_EQ(code, -ESHUTDOWN);
        CHECK_EQ(doer.codes[0], 0);
        CHECK_EQ(items, doer.calls);
        CHECK_EQ(items, chunks[c] ? chunks[c] : 1); /* the chunk that was being drawn */
        CHECK_EQ(pp_next(doer.iter, NULL), -ESHUTDOWN);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}

/* ---- Several threads ---- */

struct share {
    struct source source;
    pp_iter *iter;
    atomic_bool inside;
    atomic_long sum;
};

static bool draw_shared(void *item, void *user)
{
    struct share *share = user;
    bool more;

    CHECK(!atomic_exchange(&share->inside, true)); /* only one draws at a time */
    share->source.thread = pthread_self();
    more = draw(item, &share->source);
    atomic_store(&share->inside, false);
    return more;
}

static void *read_shared(void *user)
{
    struct share *share = user;
    long value;
    int code;

    while ((code = pp_next(share->iter, &value)) == 0)
        atomic_fetch_add(&share->sum, value);
    CHECK_EQ(code, PP_STOP_ITERATION);
    return NULL;
}

TEST(several_threads, .timeout = 60)
{
    pp_pool *pool = pool_of(2);
    pthread_t readers[4];

    for (EACH(c, chunks))
        for (EACH(w, windows)) {
            struct share share = { .source = source_of(1000) };

            share.iter = pp_imap_unordered(pool, square, .input = draw_shared, .user = &share,
                                           .chunksize = chunks[c], .window = windows[w]);
            for (int i = 0; i < 4; i++)
                CHECK_EQ(pthread_create(&readers[i], NULL, read_shared, &share), 0);
            for (int i = 0; i < 4; i++)
                CHECK_EQ(pthread_join(readers[i], NULL), 0);
            CHECK_EQ(atomic_load(&share.sum), 332833500);
            pp_iter_free(share.iter);
        }
    finish(pool);
}

/* ---- Memory ---- */

/* What is allocated does not grow with the items that went through. */
TEST(memory_is_bounded, .timeout = 60)
{
    pp_pool *pool = pool_of(2);
    struct source source = source_of(0);
    pp_iter *iter = pp_imap(pool, square, .input = draw, .user = &source, .window = 100);
    size_t before = 0;
    long value;

    for (long i = 0; i < 50000; i++) {
        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK(source.next - i <= 100);
        if (i == 1000)
            before = mallinfo2().uordblks;
    }
    CHECK(mallinfo2().uordblks < before + (100 << 10));
    finish(pool);
}

static bool next_megabyte(void *item, void *user)
{
    static char block[1 << 20];

    ((struct lines *)user)->next++;
    *(pp_bytes *)item = (pp_bytes){ block, sizeof block };
    return true;
}

/* Fills the window while the only worker waits at the gate; so many are drawn and unread. */
static long fill(pp_pool *pool, struct gate *gate, pp_iter *iter, const long *next, long read)
{
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1));
    long drawn;

    CHECK(iter != NULL);
    do {
        drawn = *next;
        CHECK_EQ(pp_wait(result, .timeout = 0.01), -ETIMEDOUT);
    } while (*next != drawn);
    gate_open(gate);
    CHECK_EQ(pp_wait(result), 0);
    atomic_store(&gate->open, 0);
    return drawn - read;
}

static const char *make_megabyte(long x)
{
    char *text = pp_reserve(1 << 20);

    CHECK(text != NULL);
    memset(text, (int)('a' + x % 26), 1 << 20);
    text[(1 << 20) - 1] = '\0';
    return text;
}
PP_TASK(const char *, make_megabyte, long, x);

/* A window that was not asked for shrinks when the items are large. */
TEST(large_items_are_drawn_later)
{
    enum { READ = 50 };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    struct lines lines = { .next = 0 };
    struct source source = source_of(0);
    pp_iter *iter = pp_imap(pool, echo_bytes, .input = next_megabyte, .user = &lines);

    CHECK(fill(pool, gate, iter, &lines.next, 0) <= 33);
    pp_iter_free(iter);
    lines.next = 0;
    iter = pp_imap(pool, echo_bytes, .input = next_megabyte, .user = &lines, .window = 60);
    CHECK_EQ(fill(pool, gate, iter, &lines.next, 0), 60); /* as it was asked for */
    pp_iter_free(iter);
    iter = pp_imap(pool, make_megabyte, .input = draw, .user = &source);
    for (int i = 0; i < READ; i++)
        CHECK_EQ(pp_next(iter, NULL), 0);
    CHECK(fill(pool, gate, iter, &source.next, READ) <= 40);
    source = source_of(0);
    pp_iter_free(iter);
    iter = pp_imap(pool, square, .input = draw, .user = &source);
    CHECK_EQ(fill(pool, gate, iter, &source.next, 0), 256);
    finish(pool);
    gate_free(gate);
}

/* ---- No memory ---- */

static void write_byte(const void *args, void *result)
{
    *(char *)result = (char)*(const long *)args;
}

/* Its results are large, but a worker writes one byte. */
static pp_task large_results(size_t size)
{
    pp_task task = square_pp_task;

    task.name = "write_byte";
    task.run = write_byte;
    task.result_size = size;
    return task;
}

/* No item is drawn that could not be kept. */
TEST(no_memory_for_a_chunk)
{
    pp_pool *pool = pool_of(1);
    struct source source = source_of(0);
    pp_task task = large_results((size_t)1 << 30);
    long items[1];
    pp_imap_options options = { .size = sizeof options,
                                .input = draw,
                                .user = &source,
                                .chunksize = 1000000,
                                .window = 1000000 };
    pp_iter *iter;
    long value;

    if (HARNESS_SANITIZED)
        SKIP("sanitizers end a program that asks for so much");
    iter = pp_imap_with(pool, &task, &options);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(iter, NULL), -ENOMEM);
    CHECK_EQ(source.next, 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), &value), 0);
    options.input = NULL;
    options.items = items;
    options.count = 1000000;
    CHECK_NULL(pp_imap_with(pool, &task, &options), ENOMEM);
    finish(pool);
}

static void limit_memory(rlim_t bytes)
{
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

/* It runs out in the middle: what is there is not lost, and a join comes to its end. */
TEST(no_memory_any_more)
{
    enum { LARGE = 16 << 20 };
    static unsigned char large[LARGE];
    pp_task task = large_results(LARGE);
    long items[] = { 1, 2, 3, 4, 5 };
    pp_pool *pool = pool_of(1);
    struct source source = source_of(0);
    pp_imap_options of_array = {
        .size = sizeof of_array, .items = items, .count = 5, .window = 2
    };
    pp_imap_options of_input = {
        .size = sizeof of_input, .input = draw, .user = &source, .window = 2
    };
    pp_iter *array = pp_imap_with(pool, &task, &of_array);
    pp_iter *input = pp_imap_with(pool, &task, &of_input);

    if (HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("there is no limit on address space");
    CHECK_EQ(pp_next(input, large), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), NULL), 0);
    CHECK_EQ(source.next, 2 + (source.next == 3));
    limit_memory(1 << 20);
    for (long i = 1; i < source.next; i++) {
        CHECK_EQ(pp_next(input, large), 0);
        CHECK_EQ(large[0], i);
    }
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    limit_memory(RLIM_INFINITY);
    for (int i = 1; i <= 2; i++) {
        CHECK_EQ(pp_next(array, large), 0);
        CHECK_EQ(large[0], i);
    }
    CHECK_EQ(pp_next(array, large), -ESHUTDOWN);
    CHECK_EQ(pp_next(input, large), -ESHUTDOWN);
    CHECK_EQ(pp_pool_free(pool), 0);
}
