/* SPDX-License-Identifier: MIT */
/* A struct where another one is wanted.  Expect: initializ|incompatible */
#include <procpool.h>

struct point {
    double x, y;
};

struct size {
    double width, height;
};

static double sum(struct point point)
{
    return point.x + point.y;
}
PP_TASK(double, sum, struct point, point);

pp_result *use(pp_pool *pool, struct point point, struct size size);

pp_result *use(pp_pool *pool, struct point point, struct size size)
{
    (void)size;
#ifdef BAD
    return pp_apply_async(pool, PP_CALL(sum, size));
#else
    return pp_apply_async(pool, PP_CALL(sum, point));
#endif
}
