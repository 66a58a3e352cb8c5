/* SPDX-License-Identifier: MIT */
/* A shared object with a task in it, for badinput.c to load before or after a pool
   is made. */
#include <procpool.h>

static long triple(long x)
{
    return 3 * x;
}
PP_TASK(long, triple, long, x);

const pp_task *plugin_task(void);

const pp_task *plugin_task(void)
{
    return &triple_pp_task;
}
