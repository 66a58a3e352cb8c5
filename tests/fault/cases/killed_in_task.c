/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "standard.h"

static void die(void)
{
    sleep_for(10000);
    fault_now();
    raise(SIGKILL);
}
PP_TASK(void, die);

CASE(killed_in_task, .python = "c01_sigkill_midtask", .title = "SIGKILL in a task",
     .must = "the task is an error, nothing else is")
{
    STANDARD(.victim = PP_CALL(die).call, .must = { .error = PP_ECRASHED, .signal = SIGKILL });
}
