/* SPDX-License-Identifier: MIT */
/* A string where a number is wanted.  Expect: conversion|makes integer from pointer */
#include <procpool.h>

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

pp_result *use(pp_pool *pool);

pp_result *use(pp_pool *pool)
{
#ifdef BAD
    return pp_apply_async(pool, PP_CALL(square, "5"));
#else
    return pp_apply_async(pool, PP_CALL(square, 5));
#endif
}
