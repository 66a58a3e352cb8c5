/* SPDX-License-Identifier: MIT */
/* Items of another type than the parameter.
   Expect: items are not of the task..?s parameter type */
#include <procpool.h>

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

int use(pp_pool *pool, const int *wrong, const long *right, long *out);

int use(pp_pool *pool, const int *wrong, const long *right, long *out)
{
    (void)wrong;
#ifdef BAD
    return pp_map(pool, square, wrong, 3, out);
#else
    return pp_map(pool, square, right, 3, out);
#endif
}
