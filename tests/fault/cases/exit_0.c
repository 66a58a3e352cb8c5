/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "standard.h"

static void leave(void)
{
    sleep_for(10000);
    fault_now();
    _exit(0);
}
PP_TASK(void, leave);

CASE(exit_0, .python = "c05_exit0", .title = "_exit(0) in a task",
     .must = "the task is an error, nothing else is")
{
    STANDARD(.victim = PP_CALL(leave).call, .must = { .error = PP_ECRASHED, .status = 0 });
}
