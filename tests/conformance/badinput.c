/* SPDX-License-Identifier: MIT */
/* Misuse: the same errors under every start method, and the pool goes on. */
#include <limits.h>
#include <math.h>
#include <stdint.h>

#include "battery.h"

CASE(bad_options_of_pools)
{
    static const int counts[] = { -1, INT_MIN, 1025, INT_MAX };
    pp_error *error = NULL;

    for (int i = 0; i < 4; i++)
        CHECK_NULL(try_pool(.processes = counts[i]), EINVAL);
    CHECK_NULL(try_pool(.processes = 1, .max_tasks_per_child = -1), EINVAL);
    CHECK_NULL(try_pool(.processes = 1, .callbacks = (pp_callbacks)99), EINVAL);
    CHECK_NULL(try_pool(.processes = 1, .spin = (pp_spin)99), EINVAL);
    CHECK_NULL(try_pool_with((pp_pool_options){ .size = 1 }), EINVAL);
    CHECK_NULL(try_pool(.processes = -1, .error = &error), EINVAL);
    CHECK(error != NULL && *error->message);
    free(error);
}

CASE(bad_pools)
{
    long item = 1;

    CHECK_EQ(pp_close(NULL), -EINVAL);
    CHECK_EQ(pp_terminate(NULL), -EINVAL);
    CHECK_EQ(pp_join(NULL), -EINVAL);
    CHECK_EQ(pp_apply(NULL, PP_CALL(square, 1), NULL), -EINVAL);
    CHECK_NULL(pp_apply_async(NULL, PP_CALL(square, 1)), EINVAL);
    CHECK_EQ(pp_map(NULL, square, &item, 1, NULL), -EINVAL);
    CHECK_NULL(pp_map_async(NULL, square, &item, 1), EINVAL);
    CHECK_NULL(pp_imap(NULL, square, .items = &item, .count = 1), EINVAL);
}

static void check_refused(pp_pool *pool, const pp_task *task, const void *args, int code)
{
    CHECK_EQ(pp_apply_with(pool, (pp_call){ task, args }, NULL, NULL), -code);
    CHECK_NULL(pp_apply_async_with(pool, (pp_call){ task, args }, NULL), code);
    CHECK_EQ(pp_map_with(pool, task, args, 1, NULL, NULL), -code);
    CHECK_NULL(pp_map_async_with(pool, task, args, 1, NULL), code);
}

/* Before a function that is not there is called, wherever that would be. */
CASE(bad_tasks)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_task task = square_pp_task;
    long arg = 1;

    check_refused(pool, NULL, &arg, EINVAL);
    check_refused(pool, &square_pp_task, NULL, EINVAL);
    task.nparams = PP_MAX_PARAMS + 1;
    check_refused(pool, &task, &arg, E2BIG);
    task = square_pp_task;
    task.run = NULL;
    check_refused(pool, &task, &arg, EINVAL);
    task = square_pp_task;
    task.run = (void (*)(const void *, void *))(uintptr_t)16;
    check_refused(pool, &task, &arg, ENOEXEC);
    task = square_pp_task;
    task.result_size = SIZE_MAX;
    check_refused(pool, &task, &arg, EINVAL);
    check_works(pool);
    finish(pool);
}

CASE(bad_bytes)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_bytes items[] = { { "a", 1 }, { NULL, 1 } };

    CHECK_EQ(pp_apply(pool, PP_CALL(echo_bytes, { NULL, 1 }), NULL), -EINVAL);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(echo_bytes, { NULL, 1 })), EINVAL);
    CHECK_EQ(pp_map(pool, echo_bytes, items, 2, NULL), -EINVAL);
    CHECK_NULL(pp_map_async(pool, echo_bytes, items, 2), EINVAL);
    check_works(pool);
    finish(pool);
}

static pp_bytes return_nothing_as_something(size_t size)
{
    return (pp_bytes){ NULL, size };
}
PP_TASK(pp_bytes, return_nothing_as_something, size_t, size);

/* What a task returns wrongly is a failure of that task. */
CASE(bad_results)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_bytes bytes = { "left alone", 10 };
    pp_error *error = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(return_nothing_as_something, SIZE_MAX / 4), &bytes,
                      .error = &error),
             PP_ERAISED);
    CHECK_EQ(error->code, ENOMEM);
    CHECK_EQ(bytes.size, 10);
    free(error);
    check_works(pool);
    finish(pool);
}

#define CHECK_OPTIONS(...)                                                                 \
    do {                                                                                   \
        long item_ = 1;                                                                    \
        CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL, __VA_ARGS__), -EINVAL);          \
        CHECK_NULL(pp_apply_async(pool, PP_CALL(square, 1), __VA_ARGS__), EINVAL);         \
        CHECK_EQ(pp_map(pool, square, &item_, 1, NULL, __VA_ARGS__), -EINVAL);             \
        CHECK_NULL(pp_map_async(pool, square, &item_, 1, __VA_ARGS__), EINVAL);            \
        CHECK_NULL(pp_imap(pool, square, .items = &item_, .count = 1, __VA_ARGS__), EINVAL); \
    } while (0)

CASE(bad_options_of_calls)
{
    pp_pool *pool = new_pool(.processes = 1);
    long item = 1;

    CHECK_OPTIONS(.time_limit = -1);
    CHECK_OPTIONS(.time_limit = NAN);
    CHECK_OPTIONS(.grace = -1);
    CHECK_OPTIONS(.grace = NAN);
    CHECK_OPTIONS(.retries = -1);
    CHECK_OPTIONS(.retries = 65536);
    CHECK_EQ(pp_map(pool, square, &item, 1, NULL, .chunksize = -1), -EINVAL);
    CHECK_NULL(pp_map_async(pool, square, &item, 1, .chunksize = LONG_MIN), EINVAL);
    CHECK_EQ(pp_map(pool, square, (long *)NULL, 1, NULL), -EINVAL);
    CHECK_NULL(pp_map_async(pool, square, (long *)NULL, 1), EINVAL);
    check_works(pool);
    finish(pool);
}

static bool draw_ones(void *item, void *user)
{
    (void)user;
    *(long *)item = 1;
    return true;
}

CASE(bad_options_of_iterators)
{
    pp_pool *pool = new_pool(.processes = 1);
    long items[] = { 1, 2 };

    CHECK_NULL(pp_imap(pool, square, .count = 2), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .items = items, .count = 2, .input = draw_ones), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .items = items, .count = 2, .chunksize = -1), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .items = items, .count = 2, .window = -1), EINVAL);
    CHECK_EQ(pp_next(NULL, NULL), -EINVAL);
    CHECK_NULL(pp_iter_error(NULL), EINVAL);
    check_works(pool);
    finish(pool);
}

/* Options of a later version that are not left out. */
CASE(unknown_options)
{
    pp_pool *pool = new_pool(.processes = 1);
    long arg = 1;
    pp_call call = { &square_pp_task, &arg };
    struct {
        pp_apply_options known;
        long unknown;
    } newer = { { .size = sizeof newer }, 0 };

    CHECK_EQ(pp_apply_with(pool, call, NULL, &newer.known), 0);
    newer.unknown = 1;
    CHECK_EQ(pp_apply_with(pool, call, NULL, &newer.known), -EINVAL);
    newer.known.size = 0;
    CHECK_EQ(pp_apply_with(pool, call, NULL, &newer.known), -EINVAL);
    finish(pool);
}
