/* SPDX-License-Identifier: MIT */
/*
 * src/supervisor/reap.c that takes any stop for that of the task which the dead worker had
 * in hand.  A program that is linked with this gets it instead of the library's.
 */
#define ppi_reap_worker reap_in_order
#include "supervisor/reap.c"
#undef ppi_reap_worker

#include "stop_step.h"

const struct stop_broken stop_broken = {
    "cancel a call", { .n = 97, .m = 7, .enough = 1, .from = RIG_ITEM + 1 }
};

bool ppi_reap_worker(struct ppi_supervisor *supervisor, unsigned seat, int status);

bool ppi_reap_worker(struct ppi_supervisor *supervisor, unsigned seat, int status)
{
    supervisor->places[seat].stop.position =
        load(&ppi_queue_seat(&supervisor->queue, seat)->intent);
    return reap_in_order(supervisor, seat, status);
}
