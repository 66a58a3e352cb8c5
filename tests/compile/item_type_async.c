/* SPDX-License-Identifier: MIT */
/* Items of another type than the parameter.
   Expect: items are not of the task..?s parameter type */
#include <procpool.h>

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

pp_result *use(pp_pool *pool, const unsigned long *wrong, const long *right);

pp_result *use(pp_pool *pool, const unsigned long *wrong, const long *right)
{
    (void)wrong;
#ifdef BAD
    return pp_map_async(pool, square, wrong, 3);
#else
    return pp_map_async(pool, square, right, 3, .chunksize = 1);
#endif
}
