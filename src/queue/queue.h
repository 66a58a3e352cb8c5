/* SPDX-License-Identifier: MIT */
/* The private handle of what lies in the segment, and how it is made. */
#ifndef PPI_QUEUE_QUEUE_H
#define PPI_QUEUE_QUEUE_H

#include "base/futex.h"
#include "queue/layout.h"
#include "shm/segment.h"

struct ppi_queue {
    struct ppi_segment segment;
    struct ppi_queue_shm *shm;
    struct ppi_claims_shm *claims;
    struct ppi_control_shm *control;
    char *arena; /* of arguments */
    size_t arena_size;
    size_t outbox_size;
    char *shared; /* the user's */
    size_t shared_size;
    unsigned seats;
    unsigned cpus;     /* that they and the client may use */
    uint64_t spin_ns;  /* that who waits stays awake at most; 0: never */
    const struct ppi_futex_ops *futex;
    struct ppi_waker poke; /* what wakes the supervisor */
    struct ppi_waker event; /* what an event loop of the client's waits for, if there is one */
    pid_t supervisor;      /* in a worker; otherwise 0 */
};

/*
 * Makes a segment with this many seats, an argument arena, outboxes and a shared part
 * of these sizes, powers of two and at least 64 KiB.  Returns 0 or -errno as
 * ppi_segment_create().
 */
int ppi_queue_create(struct ppi_queue *queue, unsigned seats, size_t arena_size,
                     size_t outbox_size, size_t shared_size);

/* Unmaps all but the shared part, which stays until ppi_queue_destroy(). */
void ppi_queue_leave(struct ppi_queue *queue);
void ppi_queue_destroy(struct ppi_queue *queue);

/* Whether the segment is one, and of this layout. */
int ppi_queue_check(const struct ppi_queue *queue);

static inline struct ppi_slot_shm *ppi_queue_slot(const struct ppi_queue *queue,
                                                  uint64_t position)
{
    return &queue->shm->slots[position % PPI_WINDOW];
}

/* Workers that there are to be: it may change at any time. */
static inline unsigned ppi_queue_workers(const struct ppi_queue *queue)
{
    return atomic_load_explicit(&queue->shm->workers, memory_order_relaxed);
}

struct ppi_seat_shm *ppi_queue_seat(const struct ppi_queue *queue, unsigned seat);
char *ppi_queue_outbox(const struct ppi_queue *queue, unsigned seat);

#endif
