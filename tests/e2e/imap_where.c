/* SPDX-License-Identifier: MIT */
/* In which thread, and in what else of a pool, an iterator calls its input function. */
#include <stdio.h>

#include "source.h"

static const char *echo(const char *text)
{
    return text;
}
PP_TASK(const char *, echo, const char *, text);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

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
