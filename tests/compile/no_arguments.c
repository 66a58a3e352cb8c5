/* SPDX-License-Identifier: MIT */
/* A call without values of a task that has parameters.  Expect: give their values */
#include <procpool.h>

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static long none(void)
{
    return 0;
}
PP_TASK(long, none);

int use(pp_pool *pool, long *out);

int use(pp_pool *pool, long *out)
{
#ifdef BAD
    return pp_apply(pool, PP_CALL(square), out) + pp_apply(pool, PP_CALL(none), out);
#else
    return pp_apply(pool, PP_CALL(square, 1), out) + pp_apply(pool, PP_CALL(none), out);
#endif
}
