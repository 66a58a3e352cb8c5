/* SPDX-License-Identifier: MIT */
/* A map of a function without parameters.  Expect: use pp_starmap */
#include <procpool.h>

static long none(void)
{
    return 0;
}
PP_TASK(long, none);

int use(pp_pool *pool, const long *items, const PP_ARGS(none) *star, long *out);

int use(pp_pool *pool, const long *items, const PP_ARGS(none) *star, long *out)
{
    (void)star, (void)items;
#ifdef BAD
    return pp_map(pool, none, items, 3, out);
#else
    return pp_starmap(pool, none, star, 3, out);
#endif
}
