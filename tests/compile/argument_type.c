/* SPDX-License-Identifier: MIT */
/* An argument of another type than the parameter.  Expect: conversion|incompatible */
#include <procpool.h>

static long sum(const long *items, long count)
{
    return items[0] + count;
}
PP_TASK(long, sum, const long *, items, long, count);

long use(pp_pool *pool, const long *items, const double *others);

long use(pp_pool *pool, const long *items, const double *others)
{
    long out = others != NULL;
#ifdef BAD
    pp_apply(pool, PP_CALL(sum, others, 2), &out);
#else
    pp_apply(pool, PP_CALL(sum, items, 2), &out);
#endif
    return out + (items != NULL);
}
