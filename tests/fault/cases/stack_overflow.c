/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "standard.h"

/* Not a loop, whatever the compiler thinks of. */
static int descend(volatile char *above)
{
    volatile char here[4096];

    if (*above == 'y')
        return 0;
    here[0] = *above;
    return descend(here) + here[0];
}

static int descend_for_ever(char first)
{
    sleep_for(10000);
    fault_now();
    return descend(&first);
}
PP_TASK(int, descend_for_ever, char, first);

CASE(stack_overflow, .title = "endless recursion in a task",
     .must = "the task is an error that says so, nothing else is")
{
    STANDARD(.victim = PP_CALL(descend_for_ever, 'x').call,
             .must = { .error = PP_ECRASHED, .signal = SIGSEGV,
                       .has = HARNESS_SANITIZED ? NULL : "stack overflow" });
}
