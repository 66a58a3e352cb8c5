/* SPDX-License-Identifier: MIT */
/* An option that there is not.  Expect: proceses */
#include <procpool.h>

pp_pool *use(void);

pp_pool *use(void)
{
#ifdef BAD
    return pp_pool_new(.proceses = 2);
#else
    return pp_pool_new(.processes = 2);
#endif
}
