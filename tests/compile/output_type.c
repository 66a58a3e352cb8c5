/* SPDX-License-Identifier: MIT */
/* An output of another type than the result.
   Expect: output is not of the task..?s result type */
#include <procpool.h>

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

int use(pp_pool *pool);

int use(pp_pool *pool)
{
#ifdef BAD
    int out = 0;
#else
    long out = 0;
#endif

    return pp_apply(pool, PP_CALL(square, 10), &out) + (int)out;
}
