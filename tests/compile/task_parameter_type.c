/* SPDX-License-Identifier: MIT */
/* A task declared with another parameter than the function's.
   Expect: types differ from those of divide */
#include <procpool.h>

static double divide(double x, double y)
{
    return x / y;
}
#ifdef BAD
PP_TASK(double, divide, double, x, float, y);
#else
PP_TASK(double, divide, double, x, double, y);
#endif

pp_result *use(pp_pool *pool);

pp_result *use(pp_pool *pool)
{
    return pp_apply_async(pool, PP_CALL(divide, 5, 1));
}
