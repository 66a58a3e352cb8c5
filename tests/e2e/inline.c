/* SPDX-License-Identifier: MIT */
/* Pools without workers: each call runs in the thread that makes it. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

static pp_pool *inline_pool(pp_callbacks callbacks)
{
    pp_pool *pool = pp_pool_new(.start = PP_INLINE, .callbacks = callbacks);

    CHECK(pool != NULL);
    return pool;
}

static int ran;

static pid_t thread_of(int unused)
{
    ran++;
    return gettid() + unused;
}
PP_TASK(pid_t, thread_of, int, unused);

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

TEST(there_is_nothing_else)
{
    size_t before = threads();
    pp_pool *pool = inline_pool(PP_CALLBACKS_POLL);
    pid_t seen[5];
    int items[5] = { 0 };

    CHECK_EQ(processes(), 0);
    CHECK_EQ(threads(), before);
    CHECK_EQ(pp_map(pool, thread_of, items, 5, seen), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(seen[i], gettid());
    finish(pool);
}

/* Before the call returns, whether anybody asks for the result or not. */
TEST(a_call_that_does_not_wait_has_run)
{
    pp_pool *pool = inline_pool(PP_CALLBACKS_POLL);
    pp_result *result = pp_apply_async(pool, PP_CALL(thread_of, 0));
    pid_t seen = 0;

    CHECK_EQ(ran, 1);
    CHECK(pp_ready(result));
    CHECK_EQ(pp_get(result, &seen, .timeout = 0), 0);
    CHECK_EQ(seen, gettid());
    finish(pool);
}

static void count(pp_result *result, void *user)
{
    (void)result;
    ++*(int *)user;
}

TEST(callbacks_run_where_they_always_do)
{
    pp_pool *poll = inline_pool(PP_CALLBACKS_POLL), *thread = inline_pool(PP_CALLBACKS_THREAD);
    int called = 0;
    pp_result *result;

    CHECK(pp_apply_async(poll, PP_CALL(square, 1), .callback = count, .user = &called));
    CHECK_EQ(called, 0);
    CHECK_EQ(pp_poll(poll), 1);
    CHECK_EQ(called, 1);
    for (int i = 0; i < 200; i++) {
        result = pp_apply_async(thread, PP_CALL(square, 1), .callback = count, .user = &called);
        CHECK_EQ(pp_get(result, NULL), 0);
        CHECK_EQ(called, 2 + i);
        pp_result_free(result);
    }
    finish(poll);
    finish(thread);
}

static const char *text_of(long x)
{
    char *text = pp_reserve(2000);

    memset(text, 'a' + (int)(x % 26), 1999);
    text[1999] = '\0';
    return text;
}
PP_TASK(const char *, text_of, long, x);

/* Far more than fits between worker and client at a time. */
TEST(a_chunk_of_many_strings, .timeout = 120)
{
    enum { MANY = 20000 };
    pp_pool *pool = inline_pool(PP_CALLBACKS_THREAD);
    long *items = calloc(MANY, sizeof *items);
    const char **texts = calloc(MANY, sizeof *texts);

    for (long i = 0; i < MANY; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, text_of, items, MANY, texts, .chunksize = MANY), 0);
    for (long i = 0; i < MANY; i++) {
        CHECK(strlen(texts[i]) == 1999 && texts[i][0] == 'a' + i % 26);
        free((void *)texts[i]);
    }
    free(items);
    free(texts);
    finish(pool);
}

static int refuse(int x)
{
    if (x == 2)
        pp_raise(7, "not %d", x);
    return x;
}
PP_TASK(int, refuse, int, x);

TEST(a_task_that_raises)
{
    pp_pool *pool = inline_pool(PP_CALLBACKS_THREAD);
    int items[] = { 1, 2, 3 }, out[3] = { 0 };
    pp_error *error = NULL;

    CHECK_EQ(pp_map(pool, refuse, items, 3, out, .error = &error), PP_ERAISED);
    CHECK_EQ(error->code, 7);
    CHECK_EQ(error->index, 1);
    CHECK_STR(error->message, "not 2");
    CHECK_EQ(out[0], 1);
    CHECK_EQ(out[2], 3);
    free(error);
    finish(pool);
}

TEST(an_iterator_runs_what_it_needs)
{
    pp_pool *pool = inline_pool(PP_CALLBACKS_THREAD);
    int items[100] = { 0 };
    pid_t seen;
    pp_iter *iter = pp_imap(pool, thread_of, .items = items, .count = 100, .window = 4);

    for (int i = 0; i < 50; i++) {
        CHECK_EQ(pp_next(iter, &seen), 0);
        CHECK(ran >= i && ran <= i + 6);
    }
    pp_iter_free(iter);
    finish(pool);
}

/* ---- Inside of a call ---- */

static pp_pool *own;
static pp_result *later;

static int wait_inside(int how)
{
    long value;
    long item = 1;

    switch (how) {
    case 0:
        return pp_apply(own, PP_CALL(square, 3), &value);
    case 1:
        return pp_map(own, square, &item, 1, &value);
    case 2:
        later = pp_apply_async(own, PP_CALL(square, 5));
        return pp_get(later, &value);
    case 3:
        return pp_join(own);
    case 4:
        return pp_terminate(own);
    case 5:
        return pp_wait(later);
    default:
        return pp_pool_free(own);
    }
}
PP_TASK(int, wait_inside, int, how);

TEST(a_wait_inside_of_a_call_would_never_end)
{
    own = inline_pool(PP_CALLBACKS_THREAD);
    for (int how = 0; how < 7; how++) {
        int code = 0;
        long value = 0;

        CHECK_EQ(pp_apply(own, PP_CALL(wait_inside, how), &code), 0);
        CHECK_EQ(code, how == 5 ? 0 : -EDEADLK);
        if (how == 2) { /* it runs when the call has ended */
            CHECK_EQ(pp_get(later, &value, .timeout = 0), 0);
            CHECK_EQ(value, 25);
        }
    }
    finish(own);
}

static long through(long x)
{
    long value;

    return pp_apply(own, PP_CALL(square, x), &value) == 0 ? value : -1;
}
PP_TASK(long, through, long, x);

TEST(a_call_can_use_another_pool)
{
    pp_pool *outer = inline_pool(PP_CALLBACKS_THREAD);
    long seen = 0;

    own = inline_pool(PP_CALLBACKS_THREAD);
    CHECK_EQ(pp_apply(outer, PP_CALL(through, 4), &seen), 0);
    CHECK_EQ(seen, 16);
    finish(own);
    finish(outer);
}

/* It runs in a task of another inline pool, which runs in one of its own. */
static pp_pool *between;

static int wait_far_inside(int how)
{
    long value;

    return how == 0   ? pp_apply(own, PP_CALL(square, 3), &value)
           : how == 1 ? pp_terminate(own)
                      : pp_join(own);
}
PP_TASK(int, wait_far_inside, int, how);

static int go_between(int how)
{
    int code = 0;

    return pp_apply(between, PP_CALL(wait_far_inside, how), &code) == 0 ? code : 1;
}
PP_TASK(int, go_between, int, how);

TEST(a_wait_far_inside_of_a_call_would_never_end)
{
    own = inline_pool(PP_CALLBACKS_THREAD);
    between = inline_pool(PP_CALLBACKS_THREAD);
    for (int how = 0; how < 3; how++) {
        int code = 0;

        CHECK_EQ(pp_apply(own, PP_CALL(go_between, how), &code), 0);
        CHECK_EQ(code, -EDEADLK);
    }
    finish(between);
    finish(own);
}

/* ---- Threads ---- */

static void *call_often(void *pool)
{
    for (int i = 0; i < 2000; i++) {
        long value = 0;
        pp_result *result = pp_apply_async(pool, PP_CALL(square, i));

        CHECK(pp_ready(result));
        CHECK_EQ(pp_get(result, &value), 0);
        CHECK_EQ(value, (long)i * i);
        pp_result_free(result);
        CHECK_EQ(pp_apply(pool, PP_CALL(square, i + 1), &value), 0);
        CHECK_EQ(value, (long)(i + 1) * (i + 1));
    }
    return NULL;
}

TEST(several_threads, .timeout = 120)
{
    pp_pool *pool = inline_pool(PP_CALLBACKS_THREAD);
    pthread_t all[3];

    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&all[i], NULL, call_often, pool), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(all[i], NULL), 0);
    finish(pool);
}

/* ---- Refused, or of no effect ---- */

static int fail(void *code)
{
    return *(int *)code;
}

TEST(an_initializer_that_fails)
{
    int code = ENOTTY;

    CHECK_NULL(pp_pool_new(.start = PP_INLINE, .initializer = fail, .initarg = &code), ENOTTY);
    code = 0;
    finish(pp_pool_new(.start = PP_INLINE, .initializer = fail, .initarg = &code));
}

TEST(time_limits_are_refused)
{
    pp_pool *pool = inline_pool(PP_CALLBACKS_THREAD);

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), NULL, .time_limit = 10), -ENOTSUP);
    finish(pool);
}

TEST(it_can_be_terminated)
{
    pp_pool *pool = inline_pool(PP_CALLBACKS_THREAD);

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), NULL), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), NULL), -ESHUTDOWN);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}
