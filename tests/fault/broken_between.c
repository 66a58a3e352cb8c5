/* SPDX-License-Identifier: MIT */
/*
 * src/worker/run.c that does not look at the stop flag between two items.  A program that
 * is linked with this gets it instead of the library's.
 */
#include "stop_step.h"
#include "worker/worker.h"

const struct stop_broken stop_broken = {
    "limit in a chunk", { .n = 97, .m = 7, .enough = 1, .from = RIG_ITEM + 1 }
};

static void wait_before_the_first(struct ppi_worker *worker)
{
    if (worker->item == worker->first)
        ppi_wait_while_stopped(worker);
}

#define ppi_wait_while_stopped wait_before_the_first
#include "worker/run.c"
