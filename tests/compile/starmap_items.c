/* SPDX-License-Identifier: MIT */
/* Items of a struct that only looks like the task's.
   Expect: items of a starmap are of type PP_ARGS */
#include <procpool.h>

struct pair {
    long x, y;
};

static long add(long x, long y)
{
    return x + y;
}
PP_TASK(long, add, long, x, long, y);

int use(pp_pool *pool, const struct pair *wrong, const PP_ARGS(add) *right, long *out);

int use(pp_pool *pool, const struct pair *wrong, const PP_ARGS(add) *right, long *out)
{
    (void)wrong;
#ifdef BAD
    return pp_starmap(pool, add, wrong, 3, out);
#else
    return pp_starmap(pool, add, right, 3, out);
#endif
}
