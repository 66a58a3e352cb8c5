/* SPDX-License-Identifier: MIT */
#include "standard.h"

#define LIMIT_S 0.1

static void spin(void)
{
    fault_at(harness_now() + LIMIT_S);
    for (volatile bool forever = true; forever;)
        ;
}
PP_TASK(void, spin);

CASE(endless_limit, .title = "a task that never ends, with a time limit of 0.1 s",
     .must = "the task is an error at its limit, nothing else is")
{
    STANDARD(.victim = PP_CALL(spin).call, .must = { .error = PP_ETIMELIMIT },
             .options = { .time_limit = LIMIT_S });
}
