/* SPDX-License-Identifier: MIT */
/*
 * What a worker does that finds nothing to do: it searches, naps, sleeps.
 *
 * Search: it stays awake for some microseconds (src/queue/spin.h), and says so
 * (waking), so that nobody wakes others meanwhile: who searches will find what there
 * is.  One worker does at a time.
 *
 * Nap: after tasks so short that to be woken for each would take longer than they do,
 * it sleeps for a moment and looks again by itself, as long as another worker is awake
 * and can do the next one meanwhile.
 *
 * Sleep: until somebody has work (src/queue/wake.h).
 *
 * The time that this takes is counted for those who look into the pool, from readings of the
 * clock around a sleep, which takes many times longer than they do, and from those that a
 * search makes anyway: one that finds something at once makes none, and does not count.
 */
#ifndef PPI_QUEUE_IDLE_H
#define PPI_QUEUE_IDLE_H

#include "queue/claims.h"
#include "queue/spin.h"

/* Tasks that took less on average since the worker was woken are not worth waking for. */
#define PPI_TINY_NS UINT64_C(5000)

#define PPI_NAP_NS UINT64_C(50000)

/* Private to a worker. */
struct ppi_idler {
    struct ppi_spin spin;
    uint64_t since_ns; /* it has not slept nor napped since ... */
    uint64_t tasks;    /* ... and has run so many tasks */
    uint64_t waited_ns; /* in all */
};

/* Returns when there may be something to do. */
void ppi_idle(struct ppi_idler *idler, struct ppi_claimer *claimer);

#endif
