/* SPDX-License-Identifier: MIT */
/*
 * src/supervisor/stop.c that does not look again between setting the flag and the kill.
 * A program that is linked with this gets it instead of the library's.
 */
#define ppi_look_at_tasks look_in_order
#include "supervisor/stop.c"
#undef ppi_look_at_tasks

#include "stop_step.h"

const struct stop_broken stop_broken = {
    "cancel a call", { .n = 97, .m = 7, .enough = 1, .from = RIG_ITEM + 1 }
};

void ppi_look_at_tasks(struct ppi_supervisor *supervisor);

void ppi_look_at_tasks(struct ppi_supervisor *supervisor)
{
    supervisor->look_at_ns = PPI_NEVER;
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++) {
        struct ppi_place *place = &supervisor->places[seat];
        struct running running;

        if (place->stop.reason != PPI_STOP_NONE || !look(supervisor, seat, &running) ||
            ppi_cancelled(&supervisor->queue, running.position) != PPI_NOW)
            continue;
        place->stop =
            (struct ppi_stop){ .reason = PPI_STOP_CANCEL, .position = running.position };
        set_word(supervisor, seat, PPI_STOP_MAYBE);
        kill_stopped(place);
    }
}
