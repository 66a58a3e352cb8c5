/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <unistd.h>

#include "supervisor/supervisor.h"

/* A seat that nobody sits on and whose last results the client has taken; or -1. */
static int free_seat(struct ppi_supervisor *supervisor)
{
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++) {
        struct ppi_place *place = &supervisor->places[seat];
        const struct ppi_ack_shm *ack = &supervisor->queue.shm->acks[seat];

        /* Pairs with the release in the client's release_seat(). */
        if (place->used && place->pid == 0 &&
            atomic_load_explicit(&ack->released, memory_order_acquire) == place->incarnation)
            place->used = false;
        if (!place->used)
            return (int)seat;
    }
    return -1;
}

int ppi_spawn_worker(struct ppi_supervisor *supervisor)
{
    pid_t pid, self = getpid();
    int seat = free_seat(supervisor);
    struct ppi_place *place;
    struct ppi_control_seat_shm *shown;

    if (seat < 0)
        return -EBUSY;
    place = &supervisor->places[seat];
    shown = &supervisor->queue.control->seats[seat];
    /* The client believes a seat of the incarnation only that is announced here. */
    atomic_store_explicit(&shown->incarnation, place->incarnation + 1, memory_order_release);
    pid = fork();
    if (pid == 0)
        ppi_worker_run(supervisor->heritage, (unsigned)seat, place->incarnation + 1, self);
    if (pid < 0) {
        int error = -errno;

        atomic_store_explicit(&shown->incarnation, place->incarnation, memory_order_release);
        return error;
    }
    *place = (struct ppi_place){
        .pid = pid, .incarnation = place->incarnation + 1, .used = true
    };
    atomic_store_explicit(&shown->pid, pid, memory_order_relaxed);
    atomic_store_explicit(&shown->state, PPI_LIVE, memory_order_release);
    supervisor->alive++;
    return 0;
}
