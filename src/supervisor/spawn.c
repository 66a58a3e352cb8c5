/* SPDX-License-Identifier: MIT */
/* Seats, and the workers on them. */
#include <errno.h>

#include "base/point.h"
#include "supervisor/supervisor.h"

/* Whether somebody sits there, or left results that the client has not taken. */
static bool is_used(struct ppi_supervisor *supervisor, unsigned seat)
{
    struct ppi_place *place = &supervisor->places[seat];
    const struct ppi_ack_shm *ack = &supervisor->queue.shm->acks[seat];

    /* Pairs with the release in the client's bury(). */
    if (place->used && place->pid == 0 &&
        atomic_load_explicit(&ack->released, memory_order_acquire) == place->incarnation)
        place->used = false;
    return place->used;
}

/* The first seat that can be given out, or -1. */
static int free_seat(struct ppi_supervisor *supervisor)
{
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++)
        if (!is_used(supervisor, seat) && !supervisor->places[seat].dying)
            return (int)seat;
    return -1;
}

static void set_seats_end(struct ppi_supervisor *supervisor, unsigned end)
{
    if (end == supervisor->seats_end)
        return;
    supervisor->seats_end = end;
    atomic_store_explicit(&supervisor->queue.control->seats_end, end, memory_order_release);
}

void ppi_show_seats(struct ppi_supervisor *supervisor)
{
    unsigned end = supervisor->seats_end;

    while (end > 0 && !is_used(supervisor, end - 1))
        end--;
    set_seats_end(supervisor, end);
}

/* The lowest that no worker has; there are as many as seats. */
static uint32_t free_id(const struct ppi_supervisor *supervisor)
{
    uint32_t id = 0;

    while (supervisor->has_id[id])
        id++;
    return id;
}

int ppi_spawn_worker(struct ppi_supervisor *supervisor)
{
    int seat = free_seat(supervisor);
    uint32_t id = free_id(supervisor), incarnation;
    struct ppi_place *place;
    struct ppi_control_seat_shm *shown;
    pid_t pid;

    if (seat < 0)
        return -EBUSY;
    place = &supervisor->places[seat];
    shown = &supervisor->queue.control->seats[seat];
    incarnation = place->incarnation + 1;
    if ((unsigned)seat >= supervisor->seats_end)
        set_seats_end(supervisor, (unsigned)seat + 1);
    atomic_store_explicit(&shown->dismissed, 0, memory_order_relaxed);
    atomic_store_explicit(&shown->id, id, memory_order_relaxed);
    atomic_store_explicit(&shown->life, supervisor->lives[id] + 1, memory_order_relaxed);
    /* The client believes a seat of the incarnation only that is announced here. */
    atomic_store_explicit(&shown->incarnation, incarnation, memory_order_release);
    PPI_POINT(SUPERVISOR_ANNOUNCED_SEAT);
    pid = supervisor->kind->start(supervisor, (unsigned)seat, incarnation);
    if (pid < 0) {
        atomic_store_explicit(&shown->incarnation, place->incarnation, memory_order_release);
        return pid;
    }
    PPI_POINT(SUPERVISOR_STARTED_WORKER);
    *place = (struct ppi_place){ .pid = pid, .incarnation = incarnation, .id = id, .used = true };
    atomic_store_explicit(&shown->state, PPI_LIVE, memory_order_release);
    PPI_POINT(SUPERVISOR_SAID_LIVE);
    supervisor->has_id[id] = true;
    supervisor->lives[id]++;
    supervisor->alive++;
    return 0;
}
