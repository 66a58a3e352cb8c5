/* SPDX-License-Identifier: MIT */
#include "queue/seat.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/point.h"
#include "base/process.h"
#include "queue/wake.h"

/* From this size on, ask what the machine has left before touching memory. */
#define LARGE ((size_t)64 << 20)

void ppi_seat_init(struct ppi_seat *seat, struct ppi_queue *queue, unsigned index,
                   uint32_t incarnation)
{
    seat->queue = queue;
    seat->index = index;
    seat->shm = ppi_queue_seat(queue, index);
    seat->ack = &queue->shm->acks[index];
    seat->taken = seat->tail = seat->pressed =
        atomic_load_explicit(&seat->ack->taken, memory_order_acquire);
    ppi_outbox_init(&seat->outbox, ppi_queue_outbox(queue, index), queue->outbox_size);
    atomic_store_explicit(&seat->shm->wants_room, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->started, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->survived, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->state, PPI_SEAT_STARTING, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->tail, seat->tail, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->intent, PPI_NO_POSITION, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->runs, PPI_NO_POSITION, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->tasks, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->items, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->counted, PPI_NO_POSITION, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->waiting, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->shm->ready_at, 0, memory_order_relaxed);
    PPI_POINT(WORKER_SITS);
    /* Until here what the seat says is its last worker's, and nobody listens: partners
       are take_in() in the client and the reap. */
    atomic_store_explicit(&seat->shm->incarnation, incarnation, memory_order_release);
}

/* Frees the room of what the client has taken since; whether that was anything. */
static bool collect(struct ppi_seat *seat)
{
    uint64_t taken = atomic_load_explicit(&seat->ack->taken, memory_order_acquire);

    if (taken == seat->taken)
        return false;
    if (taken > seat->tail)
        abort(); /* what was never written: a wild store has hit the tail */
    seat->taken = taken;
    ppi_outbox_release(&seat->outbox, seat->marks[(taken - 1) % PPI_RECORDS]);
    return true;
}

/* Sleeps until the client has taken something.  Partner: acknowledge() in the client. */
static void wait_for_room(struct ppi_seat *seat)
{
    uint32_t bell = atomic_load_explicit(&seat->ack->bell, memory_order_acquire);

    atomic_store(&seat->shm->wants_room, 1);
    PPI_POINT(WORKER_WANTS_ROOM);
    atomic_thread_fence(memory_order_seq_cst);
    if (!collect(seat)) {
        ppi_wake_client(seat->queue);
        ppi_wake_service(seat->queue);
        PPI_POINT(WORKER_WAITS_FOR_ROOM);
        seat->queue->futex->wait(&seat->ack->bell, bell, PPI_NEVER);
        collect(seat);
    }
    atomic_store_explicit(&seat->shm->wants_room, 0, memory_order_relaxed);
}

void *ppi_seat_alloc(struct ppi_seat *seat, size_t size)
{
    void *block;

    if (size > seat->outbox.size || (size >= LARGE && size > ppi_memory_available()))
        return NULL;
    collect(seat);
    while (!(block = ppi_outbox_alloc(&seat->outbox, size))) {
        if (seat->taken == seat->tail)
            return NULL; /* nothing is on its way to the client: it stays full */
        wait_for_room(seat);
    }
    return block;
}

void ppi_seat_commit(struct ppi_seat *seat, const struct ppi_record_shm *record,
                     uint64_t mark)
{
    while (seat->tail - seat->taken >= PPI_RECORDS)
        if (!collect(seat))
            wait_for_room(seat);
    seat->shm->records[seat->tail % PPI_RECORDS] = *record;
    PPI_POINT(WORKER_RECORD_FILLED);
    seat->marks[seat->tail % PPI_RECORDS] = mark;
    seat->tail++;
    atomic_store_explicit(&seat->shm->tail, seat->tail, memory_order_release);
    PPI_POINT(WORKER_COMMITTED);
    seat->untold = true;
    seat->ended = record->flags & PPI_LAST ? record->position : PPI_NO_POSITION;
    if (seat->tail - seat->pressed >= PPI_PRESSING) {
        PPI_POINT(WORKER_PRESSES);
        seat->pressed = seat->tail;
        ppi_wake_service(seat->queue);
    }
}

void ppi_seat_tell(struct ppi_seat *seat)
{
    if (!seat->untold)
        return;
    seat->untold = false;
    ppi_wake_client(seat->queue);
}

void ppi_seat_tell_fenced(struct ppi_seat *seat)
{
    if (!seat->untold)
        return;
    seat->untold = false;
    ppi_tell_client_fenced(seat->queue, seat->ended);
}
