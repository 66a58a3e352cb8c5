/* SPDX-License-Identifier: MIT */
/* What the segment of a pool holds at the beginning: every atomic object in it. */
#include "world.h"

static void place_queue(struct ppi_queue *queue)
{
    struct ppi_queue_shm *shm = queue->shm;

    weak_place(&shm->tail, 0);
    weak_place(&shm->wanted, 0);
    weak_place(&shm->client_cpu, 1);
    weak_place(&shm->command, PPI_RUNNING);
    weak_place(&shm->workers, SEATS);
    weak_place(&shm->hints, 0);
    weak_place(&shm->audited_from, 0);
    weak_place(&shm->audits, 0);
    for (unsigned seat = 0; seat < SEATS; seat++) {
        weak_place(&shm->acks[seat].taken, 0);
        weak_place(&shm->acks[seat].bell, 0);
        weak_place(&shm->acks[seat].condemned, 0);
    }
    for (unsigned slot = 0; slot < PPI_WINDOW; slot++) {
        weak_place(&shm->slots[slot].over, 0);
        weak_place(&shm->cancels[slot], 0);
    }
}

static void place_claims(struct ppi_queue *queue)
{
    struct ppi_claims_shm *claims = queue->claims;

    weak_place(&claims->head, 0);
    weak_place(&claims->bell, 0);
    weak_place(&claims->waking, PPI_NOBODY);
    weak_place(&claims->client_waits, 0);
    weak_place(&claims->client_bell, 0);
    weak_place(&claims->event_waits, 0);
    weak_place(&claims->service_waits, 0);
    weak_place(&claims->service_bell, 0);
    weak_place(&claims->sleepers[0], 0);
    weak_place(&claims->nappers[0], 0);
    for (unsigned slot = 0; slot < PPI_WINDOW; slot++)
        weak_place(&claims->words[slot], 0);
}

static void place_control(struct ppi_queue *queue)
{
    struct ppi_control_shm *control = queue->control;

    weak_place(&control->life, 1);
    weak_place(&control->tail, 0);
    weak_place(&control->seats_end, SEATS);
    weak_place(&control->requeues, 0);
    weak_place(&control->looks_at, PPI_NEVER);
    for (unsigned seat = 0; seat < SEATS; seat++) {
        weak_place(&control->seats[seat].incarnation, 1);
        weak_place(&control->seats[seat].pid, 100 + seat);
        weak_place(&control->seats[seat].stop, 0);
        weak_place(&control->seats[seat].dismissed, 0);
        weak_place(&control->seats[seat].id, seat);
        weak_place(&control->seats[seat].life, 1);
    }
    for (unsigned slot = 0; slot < PPI_WINDOW; slot++) {
        weak_place(&control->resume[slot], 0);
        weak_place(&control->attempt[slot], 0);
    }
}

static void place_seat(struct ppi_seat_shm *shm)
{
    weak_place(&shm->tail, 0);
    weak_place(&shm->wants_room, 0);
    weak_place(&shm->incarnation, 0);
    weak_place(&shm->state, PPI_SEAT_READY);
    weak_place(&shm->cpu, 0);
    weak_place(&shm->intent, PPI_NO_POSITION);
    weak_place(&shm->runs, PPI_NO_POSITION);
    weak_place(&shm->item, 0);
    weak_place(&shm->run_first, 0);
    weak_place(&shm->outbox_at, 0);
    weak_place(&shm->started, 0);
    weak_place(&shm->survived, 0);
    weak_place(&shm->tasks, 0);
    weak_place(&shm->items, 0);
    weak_place(&shm->counted, PPI_NO_POSITION);
    weak_place(&shm->waiting, 0);
    weak_place(&shm->ready_at, 0);
}

void place_all(struct ppi_queue *queue)
{
    place_queue(queue);
    place_claims(queue);
    place_control(queue);
    for (unsigned seat = 0; seat < SEATS; seat++)
        place_seat(ppi_queue_seat(queue, seat));
}
