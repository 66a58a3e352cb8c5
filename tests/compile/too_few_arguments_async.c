/* SPDX-License-Identifier: MIT */
/* Two arguments by position for a task of three.  Expect: missing (field )?.*initializer */
#include <procpool.h>

static long sum(long a, long b, long c)
{
    return a + b + c;
}
PP_TASK(long, sum, long, a, long, b, long, c);

pp_result *use(pp_pool *pool);

pp_result *use(pp_pool *pool)
{
#ifdef BAD
    return pp_apply_async(pool, PP_CALL(sum, 1, 2));
#else
    return pp_apply_async(pool, PP_CALL(sum, .a = 1, .b = 2)); /* by name: c is zero */
#endif
}
