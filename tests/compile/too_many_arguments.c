/* SPDX-License-Identifier: MIT */
/* Two arguments for a task of one: it is a warning.  Expect: excess elements */
#include <procpool.h>

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

int use(pp_pool *pool, long *out);

int use(pp_pool *pool, long *out)
{
#ifdef BAD
    return pp_apply(pool, PP_CALL(square, 10, 2), out);
#else
    return pp_apply(pool, PP_CALL(square, 10), out);
#endif
}
