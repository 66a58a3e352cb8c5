/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "standard.h"

static int refuse(void *unused)
{
    (void)unused;
    fault_now();
    pp_raise(12345, "the initializer has no mind to");
}

CASE(initializer_raises, .python = "c07_init_raises", .title = "the initializer raises",
     .must = "there is no pool, and what was raised is why")
{
    pp_error *error = NULL;

    CHECK_NULL(pp_pool_new(.processes = 2, .initializer = refuse, .error = &error), 12345);
    answered_now();
    CHECK_EQ(error->code, 12345);
    CHECK_HAS(error->message, "the initializer has no mind to");
    CHECK_EQ(processes(), 0);
    saw("pp_pool_new() fails with the code and the words of pp_raise()");
    free(error);
}
