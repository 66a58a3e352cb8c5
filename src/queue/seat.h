/* SPDX-License-Identifier: MIT */
/*
 * A worker's side of its seat: room for results, and commits.
 *
 * The completion ring has one producer, the worker, and one consumer, the client,
 * whose count of taken records comes back in its acknowledgement.  Room in the
 * outbox is freed by the same count: marks[] keeps where each record's payload
 * ended.  A worker that finds no room sleeps until the client has taken something.
 */
#ifndef PPI_QUEUE_SEAT_H
#define PPI_QUEUE_SEAT_H

#include <stdbool.h>

#include "queue/queue.h"
#include "shm/outbox.h"

struct ppi_seat {
    struct ppi_queue *queue;
    struct ppi_seat_shm *shm;
    const struct ppi_ack_shm *ack;
    unsigned index;
    uint64_t tail;  /* records committed */
    uint64_t pressed; /* tail when the service thread was last woken */
    uint64_t taken; /* records whose room is free again */
    bool untold;    /* there are records that the client has not been woken for */
    uint64_t ended; /* the task that the last one of them ends, or PPI_NO_POSITION */
    struct ppi_outbox outbox;
    uint64_t marks[PPI_RECORDS];
};

/* Takes a seat that the client has emptied, for this incarnation of its worker. */
void ppi_seat_init(struct ppi_seat *seat, struct ppi_queue *queue, unsigned index,
                   uint32_t incarnation);

/*
 * Room for a payload in the outbox; waits for the client while there is none.
 * NULL when there never can be, or the machine has not so much memory.
 */
void *ppi_seat_alloc(struct ppi_seat *seat, size_t size);

/* The offset in the outbox that a record gives for a payload. */
static inline uint64_t ppi_seat_offset(const struct ppi_seat *seat, const void *payload)
{
    return (uint64_t)((const char *)payload - seat->outbox.base);
}

/*
 * Commits a record: when it returns the outcome exists.  Waits for the client
 * while the ring is full.  All that was allocated before mark is freed when the
 * client has taken the record.  The client is to be told of it before anything that
 * may take long.
 */
void ppi_seat_commit(struct ppi_seat *seat, const struct ppi_record_shm *record,
                     uint64_t mark);

/*
 * Wakes the client for what was committed: the first in any case; the second, by a worker that
 * goes on to other work and has fenced meanwhile, if it waits for that.
 */
void ppi_seat_tell(struct ppi_seat *seat);
void ppi_seat_tell_fenced(struct ppi_seat *seat);

#endif
