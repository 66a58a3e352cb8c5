/* SPDX-License-Identifier: MIT */
/* An array of outputs of another type.  Expect: output is not of the task..?s result type */
#include <procpool.h>

static double half(int x)
{
    return x / 2.0;
}
PP_TASK(double, half, int, x);

int use(pp_pool *pool, const int *items, float *wrong, double *right);

int use(pp_pool *pool, const int *items, float *wrong, double *right)
{
    (void)wrong;
#ifdef BAD
    return pp_map(pool, half, items, 3, wrong);
#else
    return pp_map(pool, half, items, 3, right) + pp_map(pool, half, items, 3, NULL);
#endif
}
