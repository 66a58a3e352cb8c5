/* SPDX-License-Identifier: MIT */
/* An argument by a name that no parameter has.  Expect: z */
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
    return pp_apply(pool, PP_CALL(divide, .x = 10, .z = 2), out);
#else
    return pp_apply(pool, PP_CALL(divide, .x = 10, .y = 2), out);
#endif
}
