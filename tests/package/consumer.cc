/* SPDX-License-Identifier: MIT */
/* The plain functions under the macros, from another language. */
#include <cstdio>
#include <procpool.h>
#include <unistd.h>

static void square(const void *args, void *result)
{
    long x = *static_cast<const long *>(args);

    *static_cast<long *>(result) = x * x;
}

static void never(const void *, void *)
{
    for (;;)
        pause();
}

static pp_task task_of(const char *name, void (*run)(const void *, void *))
{
    pp_task task = {};

    task.size = sizeof task;
    task.name = name;
    task.run = run;
    task.args_size = task.result_size = sizeof(long);
    task.nparams = 1;
    return task;
}

/* Whether it can be called, stopped at a time limit, and cancelled. */
static bool calls(pp_pool *pool)
{
    pp_task squares = task_of("square", square), endless = task_of("never", never);
    pp_apply_options options = {};
    long five = 5, value = 0;

    options.size = sizeof options;
    if (pp_apply_with(pool, { &squares, &five }, &value, &options) != 0 || value != 25)
        return false;
    options.time_limit = 0.05;
    if (pp_apply_with(pool, { &endless, &five }, nullptr, &options) != PP_ETIMELIMIT)
        return false;
    pp_result *result = pp_apply_async_with(pool, { &endless, &five }, nullptr);
    return pp_cancel(result) == 0 && pp_get_with(result, nullptr, 60) == PP_ECANCELLED &&
           pp_progress_of(result).done == 1;
}

/* The sum of squares, one by one, of numbers that lie in shared memory. */
static long iterates(pp_pool *pool)
{
    pp_task task = task_of("square", square);
    long *items = static_cast<long *>(pp_shared_alloc(pool, 10 * sizeof(long)));
    pp_imap_options options = {};
    long sum = 0, value;

    if (!items)
        return -1;
    for (long i = 0; i < 10; i++)
        items[i] = i;
    options.size = sizeof options;
    options.items = items;
    options.count = 10;
    pp_iter *iter = pp_imap_unordered_with(pool, &task, &options);
    while (pp_next_with(iter, &value, nullptr) == 0)
        sum += value;
    pp_iter_free(iter);
    return pp_shared_free(pool, items) == 0 ? sum : -1;
}

int main()
{
    pp_pool_options options = {};

    options.size = sizeof options;
    options.processes = 2;
    pp_pool *pool = pp_pool_new_with(&options);
    bool good = pool && calls(pool) && iterates(pool) == 285;

    pp_pool_free(pool);
    if (good)
        std::printf("25 %s\n", pp_version());
    return !good;
}
