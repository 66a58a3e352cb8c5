/* SPDX-License-Identifier: MIT */
/*
 * Waiting awake.
 *
 * To put a process to sleep and to wake it takes some ten microseconds; news from
 * another CPU arrive in a fraction of one.  So whoever is about to sleep may stay awake
 * for a moment first (PPI_SPIN_NS).  That pays only if the other side is at work at the
 * same time: on another CPU, which each side publishes, and with a CPU for every process
 * of the pool that is awake.  What is lost otherwise is bounded: after each time in vain,
 * more of the next waits sleep at once, and one that finds that it was not running all
 * the time, because somebody else needs the CPU, gives up.
 */
#ifndef PPI_QUEUE_SPIN_H
#define PPI_QUEUE_SPIN_H

#include <stdbool.h>

#include "queue/queue.h"

/* As long as it takes to sleep and to be woken: then at most twice the least is spent. */
#define PPI_SPIN_NS UINT64_C(20000)

/* Whether waiting awake has paid; private to who waits. */
struct ppi_spin {
    unsigned failures; /* in a row */
    unsigned skip;     /* so many waits will not try */
    uint64_t from_ns, to_ns; /* the last wait, about; 0: it was too short to tell */
};

/* Whether to try now. */
bool ppi_spin_pays(struct ppi_spin *spin);

/*
 * Waits awake until there are news, for PPI_SPIN_NS at most; false if there were none.
 */
bool ppi_spin_for(struct ppi_spin *spin, const struct ppi_queue *queue,
                  bool (*news)(const void *what), const void *what);

/* Workers that are awake, about. */
unsigned ppi_awake(const struct ppi_queue *queue);

/* Whether one of them is, or may be, on another CPU than this. */
bool ppi_awake_elsewhere(const struct ppi_queue *queue, uint32_t cpu);

/* The CPU that this thread runs on. */
static inline uint32_t ppi_cpu(const struct ppi_queue *queue)
{
    return queue->futex->cpu();
}

/* Publishes the CPU of this process's thread that has to do with the others. */
static inline void ppi_publish_cpu(const struct ppi_queue *queue, _Atomic uint32_t *place)
{
    uint32_t cpu = queue->spin_ns ? ppi_cpu(queue) : 0;

    if (atomic_load_explicit(place, memory_order_relaxed) != cpu)
        atomic_store_explicit(place, cpu, memory_order_relaxed);
}

#endif
