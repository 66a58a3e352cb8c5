/* SPDX-License-Identifier: MIT */
/* Iterators and what they are wrongly given, or used in. */
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static bool one(void *item, void *user)
{
    (void)user;
    *(long *)item = 1;
    return true;
}

TEST(bad_options)
{
    pp_pool *pool = pool_of(1);
    long items[] = { 1, 2 };
    pp_imap_options options = { .size = 4 };
    double nan = __builtin_nan("");
    pp_task many = square_pp_task;
    struct {
        pp_imap_options known;
        long unknown;
    } newer = { { .size = sizeof newer }, 1 };

    CHECK_NULL(pp_imap(NULL, square, .items = items, .count = 2), EINVAL);
    CHECK_NULL(pp_imap_with(pool, NULL, NULL), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .count = 2), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .items = items, .count = 2, .input = one), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .items = items, .input = one), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .count = 2, .input = one), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .items = items, .count = 2, .chunksize = -1), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .items = items, .count = 2, .window = -1), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .input = one, .time_limit = -1), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .input = one, .time_limit = nan), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .input = one, .grace = -0.1), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .input = one, .grace = nan), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .input = one, .retries = -1), EINVAL);
    CHECK_NULL(pp_imap(pool, square, .input = one, .retries = 65536), EINVAL);
    CHECK_NULL(pp_imap_unordered(pool, square, .count = 2), EINVAL);
    CHECK_NULL(pp_imap_with(pool, &square_pp_task, &options), EINVAL);
    CHECK_NULL(pp_imap_with(pool, &square_pp_task, &newer.known), EINVAL);
    many.nparams = PP_MAX_PARAMS + 1;
    CHECK_NULL(pp_imap_with(pool, &many, NULL), E2BIG);
    many = square_pp_task;
    many.run = (void (*)(const void *, void *))(uintptr_t)16;
    CHECK_NULL(pp_imap_with(pool, &many, NULL), ENOEXEC);
    CHECK_NULL(
        pp_imap(pool, square, .input = one, .chunksize = __LONG_MAX__, .window = __LONG_MAX__),
        ENOMEM);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_NULL(pp_imap(pool, square, .items = items, .count = 2), ESHUTDOWN);
    CHECK_NULL(pp_imap(pool, square, .input = one), ESHUTDOWN);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_NULL(pp_imap(pool, square, .items = items, .count = 2), ESHUTDOWN);
    CHECK_NULL(pp_imap_unordered(pool, square, .input = one), ESHUTDOWN);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(empty_array)
{
    pp_pool *pool = pool_of(1);
    pp_iter *iter = pp_imap(pool, square, .items = NULL, .count = 0);

    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK_EQ(pp_next(iter, NULL, .timeout = 0), PP_STOP_ITERATION);
    finish(pool);
}

TEST(bad_next)
{
    pp_pool *pool = pool_of(1);
    pp_iter *iter = pp_imap(pool, square, .input = one);
    pp_next_options options = { .size = 4, .timeout = 1 };
    long value = 0;

    CHECK_EQ(pp_next(NULL, &value), -EINVAL);
    CHECK_EQ(pp_next(iter, &value, .timeout = __builtin_nan("")), -EINVAL);
    CHECK_EQ(pp_next_with(iter, &value, &options), -EINVAL);
    CHECK_NULL(pp_iter_error(NULL), EINVAL);
    CHECK(!pp_iter_error(iter));
    pp_iter_free(NULL);
    CHECK_EQ(value, 0);
    CHECK_EQ(pp_next(iter, &value), 0);
    CHECK_EQ(value, 1);
    finish(pool);
}

TEST(in_another_process)
{
    pp_pool *pool = pool_of(1);
    pp_iter *iter = pp_imap(pool, square, .input = one);
    struct gate *said = gate_new();
    long value = 0;
    pid_t child;

    CHECK_EQ(pp_next(iter, &value), 0);
    child = fork();
    if (child == 0) {
        CHECK_EQ(pp_next(iter, &value), -ECHILD);
        CHECK_NULL(pp_iter_error(iter), ECHILD);
        CHECK_NULL(pp_imap(pool, square, .input = one), ECHILD);
        pp_iter_free(iter);
        atomic_store(&said->passed, 1);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(atomic_load(&said->passed), 1);
    CHECK_EQ(pp_next(iter, &value), 0);
    finish(pool);
    gate_free(said);
}
