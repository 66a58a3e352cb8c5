/* SPDX-License-Identifier: MIT */
/* Items of another task's type.  Expect: items of a starmap are of type PP_ARGS */
#include <procpool.h>

static long add(long x, long y)
{
    return x + y;
}
PP_TASK(long, add, long, x, long, y);

static long multiply(long x, long y)
{
    return x * y;
}
PP_TASK(long, multiply, long, x, long, y);

pp_result *use(pp_pool *pool, const PP_ARGS(multiply) *wrong, const PP_ARGS(add) *right);

pp_result *use(pp_pool *pool, const PP_ARGS(multiply) *wrong, const PP_ARGS(add) *right)
{
    (void)wrong;
#ifdef BAD
    return pp_starmap_async(pool, add, wrong, 3);
#else
    return pp_starmap_async(pool, add, right, 3);
#endif
}
