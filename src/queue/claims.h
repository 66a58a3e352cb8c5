/* SPDX-License-Identifier: MIT */
/*
 * Claims: who may run what.
 *
 * Overview
 *
 * There is no queue of ids: the slots themselves are the ring.  The client gives
 * each task the next position whose slot is free and skips those that are not
 * (holes).  A slot's claim word is {generation, state, seat}:
 *
 *     QUEUED    at this generation's position, to be had by anyone
 *     REQUEUED  the same, handed back by the supervisor after a death: it begins
 *               at control.resume[slot]
 *     CLAIMED   by the worker of this seat, and so it stays when the task is over:
 *               only the client knows, and uses the slot again for a later position
 *     WITHDRAWN by the client, which has cancelled it before anyone had claimed it
 *
 * A worker walks the positions from head to tail and takes the first that it can
 * by one CAS, which says at once that it is taken and by whom: a death between the
 * two cannot happen.
 *
 * Why it is right
 *
 *  - Whoever reaches position p late finds a later generation in the word, and
 *    passes on: a slot that is used again is never taken for what it was.
 *  - head only ever moves over positions that were not QUEUED when looked at, and
 *    never become so again: a task that is handed back is REQUEUED and found by the
 *    count of requeues, not by head; what is to be had when the client has looked at all
 *    words, after a crash, by the count of audits.  So head may be stale, and it may be garbage:
 *    a worker that finds it out of all bounds looks at every word.
 *  - Nothing here waits for anybody.
 *
 * src/queue/model checks it with a death at any step.
 */
#ifndef PPI_QUEUE_CLAIMS_H
#define PPI_QUEUE_CLAIMS_H

#include <stdbool.h>

#include "queue/queue.h"

enum ppi_claim_state { PPI_FREE, PPI_QUEUED, PPI_REQUEUED, PPI_CLAIMED, PPI_WITHDRAWN };

/* A claim word: generation << 32 | state << 16 | seat. */
uint64_t ppi_claim_word(uint64_t position, enum ppi_claim_state state, unsigned seat);

/* Whether a word offers the task at this position to anyone. */
bool ppi_is_open(uint64_t position, uint64_t word);

/* What a worker knows of the claims; private to it. */
struct ppi_claimer {
    struct ppi_queue *queue;
    struct ppi_seat_shm *seat;
    unsigned index;    /* of the seat */
    uint64_t tail;     /* as it was read last */
    uint64_t next;     /* all below were not to be had, as far as it has looked */
    uint64_t requeues; /* count up to which no REQUEUED task is left */
    uint64_t audits;   /* count up to which no QUEUED task is left below head; for the one ... */
    uint64_t audited;  /* ... that comes then, it is looked at ... */
    uint64_t found, found_end; /* ... these positions */
};

/* Where a claimed task begins. */
struct ppi_start {
    uint64_t position;
    uint64_t first;   /* item */
    uint32_t attempt; /* at this item, from 1 on */
};

void ppi_claimer_init(struct ppi_claimer *claimer, struct ppi_queue *queue, unsigned seat);

/* Client: makes the task in a filled slot claimable.  Positions only ever grow. */
void ppi_publish(struct ppi_queue *queue, uint64_t position);

/* Worker: takes a task, if there is one. */
bool ppi_claim(struct ppi_claimer *claimer, struct ppi_start *start);

/* Worker: whether ppi_claim() would find something now. */
bool ppi_claimable(const struct ppi_claimer *claimer);

/* Whether there ever was a task at this position.  What a worker says may be another that has
   the same claim word. */
bool ppi_is_published(const struct ppi_queue *queue, uint64_t position);

/* Whether this seat has claimed this position, and it is not used again yet. */
bool ppi_claimed_by(const struct ppi_queue *queue, uint64_t position, unsigned seat);

/* Whether the word says that another seat has, or that nobody has yet.  Of a word that cannot
   be that is not known, and so not said. */
bool ppi_held_by_another(const struct ppi_queue *queue, uint64_t position, unsigned seat);

/*
 * Supervisor: hands back a task that the dead worker of this seat had claimed; it
 * goes on at item, with this attempt at it.  False if it had not.
 */
bool ppi_requeue(struct ppi_queue *queue, uint64_t position, unsigned seat, uint64_t item,
                 uint32_t attempt);

/* ---- Cancelling ---- */

enum ppi_cancelled {
    PPI_GOES_ON,
    PPI_SOON, /* no more items of this task are begun */
    PPI_NOW,  /* and the one that is running is stopped */
};

/*
 * Client: takes a task back that nobody has claimed yet; false if somebody has.  What
 * the supervisor had recorded of it is there to be taken in.
 */
bool ppi_withdraw(struct ppi_queue *queue, uint64_t position);

/* Client: asks whoever has claimed the task to end it, or will after a death. */
void ppi_set_cancelled(struct ppi_queue *queue, uint64_t position, enum ppi_cancelled how);

/* Worker, supervisor: whether a task is cancelled.  Their fence goes before. */
enum ppi_cancelled ppi_cancelled(const struct ppi_queue *queue, uint64_t position);

/* The same at low cost, for a look between two items. */
static inline bool ppi_is_cancelled(const _Atomic uint64_t *cancel, uint64_t position)
{
    return atomic_load_explicit(cancel, memory_order_relaxed) >> 2 == position + 1;
}

#endif
