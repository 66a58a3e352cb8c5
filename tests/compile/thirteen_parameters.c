/* SPDX-License-Identifier: MIT */
/* One parameter more than there can be.  Expect: at most 12 parameters */
#include <procpool.h>

#ifdef BAD
static int sum(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k,
               int l, int m)
{
    return a + b + c + d + e + f + g + h + i + j + k + l + m;
}
PP_TASK(int, sum, int, a, int, b, int, c, int, d, int, e, int, f, int, g, int, h, int, i, int,
        j, int, k, int, l, int, m);
#else
static int sum(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k,
               int l)
{
    return a + b + c + d + e + f + g + h + i + j + k + l;
}
PP_TASK(int, sum, int, a, int, b, int, c, int, d, int, e, int, f, int, g, int, h, int, i, int,
        j, int, k, int, l);
#endif

int use(pp_pool *pool);

int use(pp_pool *pool)
{
    return pp_apply(pool, PP_CALL(sum, .a = 1), NULL);
}
