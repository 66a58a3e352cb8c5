/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "standard.h"

static const char *volatile nowhere = (const char *)16;

static void raise_nowhere(void)
{
    sleep_for(10000);
    fault_now();
    pp_raise(5, "%s", nowhere);
}
PP_TASK(void, raise_nowhere);

CASE(raise_unreadable, .python = "c10_exc_nopickle",
     .title = "an exception that cannot be written down: its words point nowhere",
     .must = "the task is an error, nothing else is")
{
    STANDARD(.victim = PP_CALL(raise_nowhere).call,
             .must = { .error = PP_ECRASHED, .signal = SIGSEGV });
}
