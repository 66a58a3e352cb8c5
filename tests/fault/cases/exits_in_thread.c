/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <unistd.h>

#include "standard.h"

static void *leave(void *unused)
{
    sleep_for(10000);
    fault_now();
    _exit(0);
    return unused;
}

/* Somebody else ends the process, while the task is asleep. */
static void start_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, leave, NULL);
    for (;;)
        pause();
}
PP_TASK(void, start_thread);

CASE(exits_in_thread, .title = "_exit(0) in a thread that a task has started",
     .must = "the task is an error, nothing else is")
{
    STANDARD(.victim = PP_CALL(start_thread).call, .must = { .error = PP_ECRASHED, .status = 0 });
}
