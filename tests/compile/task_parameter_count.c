/* SPDX-License-Identifier: MIT */
/* A task declared with fewer parameters than the function's.
   Expect: types differ from those of divide */
#include <procpool.h>

static double divide(double x, double y)
{
    return x / y;
}
#ifdef BAD
PP_TASK(double, divide, double, x);
#else
PP_TASK(double, divide, double, x, double, y);
#endif

int use(pp_pool *pool);

int use(pp_pool *pool)
{
    return pp_apply(pool, PP_CALL(divide, .x = 5), NULL);
}
