/* SPDX-License-Identifier: MIT */
/* Misuse: each is a documented error, and leaves nothing behind. */
#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static int none(void)
{
    return 7;
}
PP_TASK(int, none);

static size_t length(const char *text, pp_bytes bytes)
{
    return strlen(text) + bytes.size;
}
PP_TASK(size_t, length, const char *, text, pp_bytes, bytes);

static void check_works(pp_pool *pool)
{
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 5), &value), 0);
    CHECK_EQ(value, 25);
}

/* ---- Pools ------------------------------------------------------------------ */

TEST(number_of_processes)
{
    static const int counts[] = { -1, -1000, INT_MIN, 1025, INT_MAX };
    pp_error *error = NULL;

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        CHECK_NULL(pp_pool_new(.processes = counts[i]), EINVAL);
        CHECK_NULL(pp_pool_new(.processes = counts[i], .error = &error), EINVAL);
        CHECK(error != NULL && *error->message);
        free(error);
        error = NULL;
    }
}

TEST(number_of_tasks)
{
    CHECK_NULL(pp_pool_new(.processes = 1, .max_tasks_per_child = -1), EINVAL);
    CHECK_NULL(pp_pool_new(.processes = 1, .max_tasks_per_child = LONG_MIN), EINVAL);
}

TEST(kind_of_callbacks)
{
    CHECK_NULL(pp_pool_new(.processes = 1, .callbacks = (enum pp_callbacks)99), EINVAL);
    CHECK_NULL(pp_pool_new(.processes = 1, .callbacks = (enum pp_callbacks)-1), EINVAL);
}

TEST(size_of_pool_options)
{
    pp_pool_options options = { .size = 0, .processes = 1 };

    CHECK_NULL(pp_pool_new_with(&options), EINVAL);
    options.size = 1;
    CHECK_NULL(pp_pool_new_with(&options), EINVAL);
}

TEST(no_pool)
{
    long item = 1, out = 42;
    PP_ARGS(square) star = { 1 };

    CHECK_EQ(pp_close(NULL), -EINVAL);
    CHECK_EQ(pp_terminate(NULL), -EINVAL);
    CHECK_EQ(pp_join(NULL), -EINVAL);
    CHECK_EQ(pp_poll(NULL), -EINVAL);
    CHECK_EQ(pp_pool_free(NULL), 0);
    CHECK_EQ(pp_apply(NULL, PP_CALL(square, 1), &out), -EINVAL);
    CHECK_EQ(pp_map(NULL, square, &item, 1, &out), -EINVAL);
    CHECK_EQ(pp_starmap(NULL, square, &star, 1, &out), -EINVAL);
    CHECK_NULL(pp_apply_async(NULL, PP_CALL(square, 1)), EINVAL);
    CHECK_NULL(pp_map_async(NULL, square, &item, 1), EINVAL);
    CHECK_NULL(pp_starmap_async(NULL, square, &star, 1), EINVAL);
    CHECK_EQ(out, 42);
}

/* ---- Calls -------------------------------------------------------------------- */

/* Neither way of submitting takes this task; nothing of it is run. */
static void check_refused(pp_pool *pool, const pp_task *task, const void *args, int code)
{
    long out[64] = { 42 };

    CHECK_EQ(pp_apply_with(pool, (pp_call){ task, args }, out, NULL), -code);
    CHECK_NULL(pp_apply_async_with(pool, (pp_call){ task, args }, NULL), code);
    CHECK_EQ(pp_map_with(pool, task, args, 1, out, NULL), -code);
    CHECK_NULL(pp_map_async_with(pool, task, args, 1, NULL), code);
    CHECK_EQ(out[0], 42);
}

TEST(no_task)
{
    pp_pool *pool = pool_of(1);
    long arg = 1;

    check_refused(pool, NULL, &arg, EINVAL);
    check_works(pool);
    finish(pool);
}

TEST(no_arguments)
{
    pp_pool *pool = pool_of(1);

    check_refused(pool, &square_pp_task, NULL, EINVAL);
    check_works(pool);
    finish(pool);
}

TEST(too_many_parameters)
{
    pp_pool *pool = pool_of(1);
    pp_task task = square_pp_task;
    long arg = 1;

    task.nparams = PP_MAX_PARAMS + 1;
    check_refused(pool, &task, &arg, E2BIG);
    task.nparams = UINT_MAX;
    check_refused(pool, &task, &arg, E2BIG);
    check_works(pool);
    finish(pool);
}

/* Tasks that PP_TASK() does not make, but another language might by mistake. */
TEST(description_of_the_task)
{
    pp_pool *pool = pool_of(1);
    long args[16] = { 1 };
    pp_task good = square_pp_task, task;

#define BAD(change)                                                                        \
    task = good;                                                                           \
    change;                                                                                \
    check_refused(pool, &task, args, EINVAL)

    BAD(task.size = 0);
    BAD(task.size = 1);
    BAD(task.name = NULL);
    BAD(task.run = NULL);
    BAD(task.args_size = (64 << 10) + 1);
    BAD(task.args_size = SIZE_MAX);
    BAD(task.result_size = (1UL << 30) + 1);
    BAD(task.result_size = SIZE_MAX);
    BAD(task.result_kind = 99);
    BAD(task.result_kind = PP_CHARS_);
    BAD(task.result_kind = PP_BYTES_; task.result_size = 3);
    BAD(task.result_kind = PP_STRING_; task.result_size = 0);
    BAD(task.params[0].kind = 99);
    BAD(task.params[0].kind = PP_CHARS_);
    BAD(task.params[0].kind = PP_STRING_; task.params[0].offset = 8);
    BAD(task.params[0].kind = PP_BYTES_);
    BAD(task.params[0].offset = UINT_MAX; task.params[0].kind = PP_STRING_);
#undef BAD
    check_works(pool);
    finish(pool);
}

TEST(size_of_options)
{
    pp_pool *pool = pool_of(1);
    long arg = 1;
    pp_call call = { &square_pp_task, &arg };

    CHECK_EQ(pp_apply_with(pool, call, NULL, &(pp_apply_options){ .size = 0 }), -EINVAL);
    CHECK_NULL(pp_apply_async_with(pool, call, &(pp_async_options){ .size = 0 }), EINVAL);
    CHECK_EQ(pp_map_with(pool, &square_pp_task, &arg, 1, NULL, &(pp_map_options){ .size = 1 }),
             -EINVAL);
    CHECK_NULL(pp_map_async_with(pool, &square_pp_task, &arg, 1,
                                 &(pp_map_async_options){ .size = 1 }), EINVAL);
    check_works(pool);
    finish(pool);
}

TEST(chunksize)
{
    static const long sizes[] = { -1, -1000, LONG_MIN };
    pp_pool *pool = pool_of(1);
    long item = 1;
    PP_ARGS(square) star = { 1 };

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pp_map(pool, square, &item, 1, NULL, .chunksize = sizes[i]), -EINVAL);
        CHECK_EQ(pp_starmap(pool, square, &star, 1, NULL, .chunksize = sizes[i]), -EINVAL);
        CHECK_NULL(pp_map_async(pool, square, &item, 1, .chunksize = sizes[i]), EINVAL);
        CHECK_NULL(pp_starmap_async(pool, square, &star, 0, .chunksize = sizes[i]), EINVAL);
    }
    check_works(pool);
    finish(pool);
}

/* With options that are out of their range nothing is submitted. */
#define CHECK_REFUSED(...)                                                                 \
    do {                                                                                   \
        long item_ = 1;                                                                    \
        CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL, __VA_ARGS__), -EINVAL);          \
        CHECK_NULL(pp_apply_async(pool, PP_CALL(square, 1), __VA_ARGS__), EINVAL);         \
        CHECK_EQ(pp_map(pool, square, &item_, 1, NULL, __VA_ARGS__), -EINVAL);             \
        CHECK_NULL(pp_map_async(pool, square, &item_, 1, __VA_ARGS__), EINVAL);            \
        CHECK_EQ(pp_map(pool, square, &item_, 0, NULL, __VA_ARGS__), -EINVAL);             \
    } while (0)

TEST(times_and_retries)
{
    static const double times[] = { -1, -1e-300, -1e300, -1.0 / 0.0, NAN };
    static const int retries[] = { -1, INT_MIN, 65536, INT_MAX };
    pp_pool *pool = pool_of(1);

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        CHECK_REFUSED(.time_limit = times[i]);
        CHECK_REFUSED(.grace = times[i]);
        CHECK_REFUSED(.time_limit = 1, .grace = times[i]);
    }
    for (size_t i = 0; i < sizeof retries / sizeof *retries; i++)
        CHECK_REFUSED(.retries = retries[i]);
    check_works(pool);
    finish(pool);
}

TEST(times_and_retries_that_are_good)
{
    static const double times[] = { 0, -0.0, 1e300, 1.0 / 0.0 };
    pp_pool *pool = pool_of(1);

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL, .time_limit = times[i]), 0);
        CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL, .grace = times[i]), 0);
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL, .retries = 65535), 0);
    finish(pool);
}

/* More items than there can be memory for. */
TEST(number_of_items)
{
    static const size_t counts[] = { SIZE_MAX, SIZE_MAX / 8, SIZE_MAX / 8 + 2, 1UL << 58 };
    pp_pool *pool = pool_of(1);
    long item = 1;
    PP_ARGS(none) star;

    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pp_map(pool, square, &item, counts[i], NULL), -ENOMEM);
        CHECK_NULL(pp_map_async(pool, square, &item, counts[i]), ENOMEM);
    }
    CHECK_EQ(pp_starmap(pool, none, &star, SIZE_MAX, NULL), -ENOMEM);
    check_works(pool);
    finish(pool);
}

TEST(no_items)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_map_with(pool, &square_pp_task, NULL, 1, NULL, NULL), -EINVAL);
    CHECK_NULL(pp_map_async_with(pool, &square_pp_task, NULL, 1, NULL), EINVAL);
    check_works(pool);
    finish(pool);
}

/* What cannot be copied is not submitted. */
TEST(bytes_larger_than_memory)
{
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX / 2, 1UL << 60 };
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 3; i++) {
        PP_ARGS(length) item = { "text", { "x", sizes[i] } };

        CHECK_EQ(pp_apply(pool, PP_CALL(length, "text", { "x", sizes[i] }), NULL), -ENOMEM);
        CHECK_NULL(pp_apply_async(pool, PP_CALL(length, "text", { "x", sizes[i] })), ENOMEM);
        CHECK_EQ(pp_starmap(pool, length, &item, 1, NULL), -ENOMEM);
    }
    check_works(pool);
    finish(pool);
}

TEST(bytes_from_nowhere)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_apply(pool, PP_CALL(length, "text", { NULL, 1 }), NULL), -EINVAL);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(length, "text", { NULL, 1 })), EINVAL);
    check_works(pool);
    finish(pool);
}

/* ---- Code that the workers do not have ------------------------------------------- */

static const pp_task *load_plugin(void **plugin)
{
    const pp_task *(*task)(void);

    *plugin = dlopen(PLUGIN, RTLD_NOW);
    if (!*plugin)
        FAIL("%s", dlerror());
    *(void **)&task = dlsym(*plugin, "plugin_task");
    CHECK(task != NULL);
    return task();
}

TEST(function_loaded_before)
{
    void *plugin;
    const pp_task *task = load_plugin(&plugin);
    pp_pool *pool = pool_of(1);
    long x = 5, value = 0;

    CHECK_EQ(pp_apply_with(pool, (pp_call){ task, &x }, &value, NULL), 0);
    CHECK_EQ(value, 15);
    finish(pool);
    dlclose(plugin);
}

TEST(function_loaded_after)
{
    pp_pool *pool = pool_of(1);
    void *plugin;
    const pp_task *task = load_plugin(&plugin);
    long x = 5;

    check_refused(pool, task, &x, ENOEXEC);
    check_works(pool);
    finish(pool);
    pool = pool_of(1); /* one that is made now has it */
    CHECK_EQ(pp_apply_with(pool, (pp_call){ task, &x }, NULL, NULL), 0);
    finish(pool);
    dlclose(plugin);
}

TEST(function_that_is_data)
{
    static long data[100];
    pp_pool *pool = pool_of(1);
    pp_task task = square_pp_task;
    long x = 5;

    *(void **)&task.run = data;
    check_refused(pool, &task, &x, ENOEXEC);
    *(void **)&task.run = (void *)(uintptr_t)4096;
    check_refused(pool, &task, &x, ENOEXEC);
    check_works(pool);
    finish(pool);
}

TEST(function_made_after)
{
    pp_pool *pool = pool_of(1);
    pp_task task = square_pp_task;
    long x = 5;
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(code != MAP_FAILED);
    *(void **)&task.run = code;
    check_refused(pool, &task, &x, ENOEXEC);
    check_works(pool);
    finish(pool);
    munmap(code, 4096);
}
