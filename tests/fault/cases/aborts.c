/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdlib.h>

#include "standard.h"

static void give_up(void)
{
    sleep_for(10000);
    fault_now();
    abort();
}
PP_TASK(void, give_up);

CASE(aborts, .title = "abort() in a task",
     .must = "the task is an error that names the signal, nothing else is")
{
    STANDARD(.victim = PP_CALL(give_up).call,
             .must = { .error = PP_ECRASHED, .signal = SIGABRT, .has = "SIGABRT" });
}
