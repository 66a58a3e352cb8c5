/* SPDX-License-Identifier: MIT */
/* stubborn.h - tasks whose workers do what they can to stay; each says when it runs */
#ifndef TESTS_FAULT_STUBBORN_H
#define TESTS_FAULT_STUBBORN_H

#include <procpool.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

_Noreturn static void spin(atomic_int *running)
{
    atomic_fetch_add(running, 1);
    for (volatile bool forever = true; forever;)
        ;
    abort();
}

static int be_busy(atomic_int *running)
{
    spin(running);
}
PP_TASK(int, be_busy, atomic_int *, running);

static int be_stopped(atomic_int *running)
{
    atomic_fetch_add(running, 1);
    raise(SIGSTOP);
    return 0;
}
PP_TASK(int, be_stopped, atomic_int *, running);

/* Ignores all that can be ignored. */
static int be_deaf(atomic_int *running)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
    spin(running);
}
PP_TASK(int, be_deaf, atomic_int *, running);

#endif
