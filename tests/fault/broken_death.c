/* SPDX-License-Identifier: MIT */
/*
 * src/supervisor/reap.c that says that a worker is dead before it says what has become of its
 * items.  A program that is linked with this gets it instead of the library's.
 */
#define ppi_reap_worker reap_in_order
#include "supervisor/reap.c"
#undef ppi_reap_worker

#include "walk.h"

const struct walk_broken walk_broken = { "supervisor and a crash", WALK_OTHERS_GO_ON, 60 };

bool ppi_reap_worker(struct ppi_supervisor *supervisor, unsigned seat, int status);

bool ppi_reap_worker(struct ppi_supervisor *supervisor, unsigned seat, int status)
{
    struct ppi_place *place = &supervisor->places[seat];
    struct remains remains = {
        .seat = seat,
        .status = status,
        .pid = place->pid,
        .shm = ppi_queue_seat(&supervisor->queue, seat),
        .seated = ppi_seated(supervisor, seat),
        .position = PPI_NO_POSITION,
    };
    bool cost;

    record_death(supervisor, &remains);
    ppi_wake_all(&supervisor->queue);
    cost = settle(supervisor, &remains);
    ppi_forget_stop(supervisor, seat);
    place->pid = 0;
    supervisor->has_id[place->id] = false;
    supervisor->alive--;
    atomic_store(&supervisor->queue.control->seats[seat].state, PPI_DEAD);
    ppi_forget_sleeper(&supervisor->queue, seat);
    ppi_wake_all(&supervisor->queue);
    return cost;
}
