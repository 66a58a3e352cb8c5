/* SPDX-License-Identifier: MIT */
/* A map of a function of two parameters.  Expect: use pp_starmap */
#include <procpool.h>

static long add(long x, long y)
{
    return x + y;
}
PP_TASK(long, add, long, x, long, y);

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

int use(pp_pool *pool, const long *items, long *out);

int use(pp_pool *pool, const long *items, long *out)
{
#ifdef BAD
    return pp_map(pool, add, items, 3, out);
#else
    return pp_map(pool, square, items, 3, out);
#endif
}
