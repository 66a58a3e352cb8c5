/* SPDX-License-Identifier: MIT */
/* A program that knows of procpool no more than pkg-config says. */
#include <procpool.h>
#include <stdio.h>

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

int main(void)
{
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 2);
    long value = 0;

    if (!pool || pp_apply(pool, PP_CALL(square, 5), &value) != 0)
        return 1;
    printf("%ld %s\n", value, pp_version());
}
