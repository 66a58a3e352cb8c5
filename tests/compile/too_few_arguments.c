/* SPDX-License-Identifier: MIT */
/* One argument by position for a task of two.  Expect: missing (field )?.*initializer */
#include <procpool.h>

static double divide(double x, double y)
{
    return x / y;
}
PP_TASK(double, divide, double, x, double, y);

int use(pp_pool *pool, double *out);

int use(pp_pool *pool, double *out)
{
#ifdef BAD
    return pp_apply(pool, PP_CALL(divide, 10), out);
#else
    return pp_apply(pool, PP_CALL(divide, 10, 2), out);
#endif
}
