/* SPDX-License-Identifier: MIT */
/* A message whose format does not fit its arguments; a warning, as printf()'s.
   Expect: format */
#include <procpool.h>

long use(long x);

long use(long x)
{
#ifdef BAD
    pp_raise(1, "%s", x);
#else
    pp_raise(1, "%ld", x);
#endif
}
