/* SPDX-License-Identifier: MIT */
/* A type without a name.  Expect: every parameter needs a type and a name */
#include <procpool.h>

static double divide(double x, double y)
{
    return x / y;
}
#ifdef BAD
PP_TASK(double, divide, double, x, double);
#else
PP_TASK(double, divide, double, x, double, y);
#endif

extern const pp_task *use;
const pp_task *use = &divide_pp_task;
