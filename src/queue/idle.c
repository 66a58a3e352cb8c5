/* SPDX-License-Identifier: MIT */
#include "queue/idle.h"

#include "base/point.h"
#include "queue/wake.h"

/* ---- Searching ---- */

static bool has_news(const void *what)
{
    const struct ppi_claimer *claimer = what;

    return ppi_claimable(claimer) || ppi_told_to_end(claimer->queue) || ppi_is_dismissed(claimer);
}

/* Whether the client can go on while this worker stays awake. */
static bool has_room(const struct ppi_claimer *claimer)
{
    const struct ppi_queue *queue = claimer->queue;
    unsigned client = !atomic_load_explicit(&queue->claims->client_waits, memory_order_relaxed);

    ppi_publish_cpu(queue, &claimer->seat->cpu);
    return atomic_load_explicit(&queue->shm->client_cpu, memory_order_relaxed) != ppi_cpu(queue) &&
           ppi_awake(queue) + client <= queue->cpus;
}

/* Whether it found something. */
static bool search(struct ppi_idler *idler, struct ppi_claimer *claimer)
{
    _Atomic uint32_t *waking = &claimer->queue->claims->waking;
    uint32_t nobody = PPI_NOBODY, mine = PPI_SEARCHING + claimer->index;
    bool found;

    if (!has_room(claimer) || !ppi_spin_pays(&idler->spin) ||
        !atomic_compare_exchange_strong(waking, &nobody, mine))
        return false;
    PPI_POINT(WORKER_SEARCHES);
    found = ppi_spin_for(&idler->spin, claimer->queue, has_news, claimer);
    PPI_POINT(WORKER_FOUND);
    /* Who has seen the mark has woken nobody: look once more, at all that there is. */
    ppi_clear_waking(claimer->queue, mine);
    return found;
}

/* ---- Napping ---- */

static bool may_nap(const struct ppi_idler *idler, const struct ppi_queue *queue)
{
    return idler->tasks > 0 &&
           queue->futex->now() - idler->since_ns <= idler->tasks * PPI_TINY_NS;
}

/* Whether it has napped. */
static bool nap(const struct ppi_idler *idler, struct ppi_claimer *claimer)
{
    struct ppi_queue *queue = claimer->queue;
    _Atomic uint64_t *nappers = &queue->claims->nappers[claimer->index / 64];
    uint64_t bit = UINT64_C(1) << claimer->index % 64;
    uint32_t bell = atomic_load_explicit(&queue->claims->bell, memory_order_acquire);
    bool naps;

    if (!may_nap(idler, queue))
        return false;
    atomic_fetch_or(nappers, bit);
    PPI_POINT(WORKER_NAPS);
    naps = ppi_awake(queue) > 0; /* not all at once: somebody must be there to be woken */
    if (naps) {
        ppi_wake_service(queue); /* there may be more in the backlog */
        queue->futex->wait(&queue->claims->bell, bell, queue->futex->now() + PPI_NAP_NS);
    }
    PPI_POINT(WORKER_NAPPED);
    atomic_fetch_and(nappers, ~bit);
    ppi_clear_waking(queue, PPI_WOKEN); /* it may have been for a sleeper, and hit us */
    return naps;
}

/* ---- Counting time ---- */

static void say_waits(const struct ppi_idler *idler, struct ppi_claimer *claimer, uint64_t since)
{
    atomic_store_explicit(&claimer->seat->waiting, PPI_WAITS | (since - idler->waited_ns),
                          memory_order_relaxed);
}

static void say_waited(struct ppi_idler *idler, struct ppi_claimer *claimer, uint64_t ns)
{
    idler->waited_ns += ns;
    atomic_store_explicit(&claimer->seat->waiting, idler->waited_ns, memory_order_relaxed);
}

/* Whether that was enough: it has found something. */
static bool search_on_time(struct ppi_idler *idler, struct ppi_claimer *claimer)
{
    idler->spin.from_ns = 0;
    if (!search(idler, claimer))
        return false;
    if (idler->spin.from_ns != 0)
        say_waited(idler, claimer, idler->spin.to_ns - idler->spin.from_ns);
    return true;
}

void ppi_idle(struct ppi_idler *idler, struct ppi_claimer *claimer)
{
    const struct ppi_queue *queue = claimer->queue;
    uint64_t since = 0;

    if (queue->spin_ns > 0) {
        if (search_on_time(idler, claimer))
            return;
        since = idler->spin.from_ns;
    }
    if (since == 0)
        since = queue->futex->now();
    say_waits(idler, claimer, since);
    if (queue->spin_ns == 0 || !nap(idler, claimer))
        ppi_sleep(claimer);
    idler->tasks = 0;
    idler->since_ns = queue->futex->now();
    say_waited(idler, claimer, idler->since_ns - since);
}
