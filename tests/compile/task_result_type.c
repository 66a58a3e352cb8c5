/* SPDX-License-Identifier: MIT */
/* A task declared with another result than the function's.
   Expect: types differ from those of square */
#include <procpool.h>

static long square(long x)
{
    return x * x;
}
#ifdef BAD
PP_TASK(int, square, long, x);
#else
PP_TASK(long, square, long, x);
#endif

pp_result *use(pp_pool *pool);

pp_result *use(pp_pool *pool)
{
    return pp_apply_async(pool, PP_CALL(square, 5));
}
