/* SPDX-License-Identifier: MIT */
/* An array of outputs of another type.  Expect: output is not of the task..?s result type */
#include <procpool.h>

static long add(long x, long y)
{
    return x + y;
}
PP_TASK(long, add, long, x, long, y);

int use(pp_pool *pool, const PP_ARGS(add) *items, int *wrong, long *right);

int use(pp_pool *pool, const PP_ARGS(add) *items, int *wrong, long *right)
{
    (void)wrong;
#ifdef BAD
    return pp_starmap(pool, add, items, 3, wrong);
#else
    return pp_starmap(pool, add, items, 3, right);
#endif
}
