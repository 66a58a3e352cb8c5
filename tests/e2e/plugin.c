/* SPDX-License-Identifier: MIT */
/* A shared object with a task in it, for badinput.c to load before or after a pool
   is made. */
#include <procpool.h>

/* Another build of it has another. */
#ifndef FACTOR
#define FACTOR 3
#endif

static long triple(long x)
{
    return FACTOR * x;
}
PP_TASK(long, triple, long, x);

const pp_task *plugin_task(void);

const pp_task *plugin_task(void)
{
    return &triple_pp_task;
}
