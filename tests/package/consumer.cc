/* SPDX-License-Identifier: MIT */
/* The plain functions under the macros, from another language. */
#include <cstdio>
#include <procpool.h>

static void square(const void *args, void *result)
{
    long x = *static_cast<const long *>(args);

    *static_cast<long *>(result) = x * x;
}

int main()
{
    pp_pool_options options = {};
    pp_task task = {};
    long five = 5, value = 0;

    options.size = sizeof options;
    options.processes = 2;
    pp_pool *pool = pp_pool_new_with(&options);

    task.size = sizeof task;
    task.name = "square";
    task.run = square;
    task.args_size = sizeof five;
    task.result_size = sizeof value;
    task.nparams = 1;
    pp_apply_options apply_options = {};
    apply_options.size = sizeof apply_options;
    pp_call call = { &task, &five };
    int error = pool ? pp_apply_with(pool, call, &value, &apply_options) : -1;

    pp_pool_free(pool);
    if (error == 0)
        std::printf("%ld %s\n", value, pp_version());
    return error != 0;
}
