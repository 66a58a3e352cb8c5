/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdlib.h>

#include "standard.h"

static int crash(void *runs)
{
    volatile int *volatile nowhere = NULL;

    atomic_fetch_add((atomic_int *)runs, 1);
    fault_now();
    *nowhere = 1;
    return 0;
}

CASE(initializer_crashes, .python = "c08_init_crashes", .title = "the initializer: SIGSEGV",
     .must = "there is no pool, and the crash is why; no worker is tried twice")
{
    atomic_int *runs = shared_new(sizeof *runs);
    pp_error *error = NULL;

    CHECK_NULL(pp_pool_new(.processes = 2, .initializer = crash, .initarg = runs,
                           .error = &error),
               ENOTRECOVERABLE);
    answered_now();
    CHECK_EQ(error->signal, SIGSEGV);
    CHECK_HAS(error->message, "SIGSEGV");
    CHECK(atomic_load(runs) <= 2);
    CHECK_EQ(processes(), 0);
    saw("pp_pool_new() fails and names the signal, after %d runs", atomic_load(runs));
    free(error);
    shared_free(runs, sizeof *runs);
}
