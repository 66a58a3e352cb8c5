/* SPDX-License-Identifier: MIT */
/*
 * src/worker/run.c that looks whether a task is cancelled before it says that it runs it.
 * A program that is linked with this gets it instead of the library's.
 */
#define ppi_run_task run_in_order
#include "worker/run.c"
#undef ppi_run_task

#include "stop_step.h"

const struct stop_broken stop_broken = { "cancel an endless call",
                                         { .n = 3, .enough = 1, .from = RIG_ITEM } };

void ppi_run_task(struct ppi_worker *worker, const struct ppi_start *start);

void ppi_run_task(struct ppi_worker *worker, const struct ppi_start *start)
{
    bool cancelled = ppi_cancelled(worker->seat.queue, start->position) != PPI_GOES_ON;

    begin(worker, start);
    while (worker->item < worker->stop)
        if (cancelled)
            commit_cancel(worker);
        else
            run_fixed(worker);
}
