/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "standard.h"

static int store(int value)
{
    volatile int *volatile nowhere = NULL;

    sleep_for(10000);
    fault_now();
    *nowhere = value;
    return value;
}
PP_TASK(int, store, int, value);

CASE(segfault, .python = "c04_segv", .title = "SIGSEGV in a task",
     .must = "the task is an error that names the signal, nothing else is")
{
    STANDARD(.victim = PP_CALL(store, 1).call,
             .must = { .error = PP_ECRASHED, .signal = SIGSEGV, .has = "SIGSEGV" });
}
