/* SPDX-License-Identifier: MIT */
/*
 * Setting claim words right.
 *
 * All workers may write them, so that a task with a wild pointer can, too.  After
 * each crash the client compares them with what it knows.  A word that cannot be is
 * mended where the seats leave no doubt; otherwise the task ends as crashed, too: it
 * is never repaired by guess.
 */
#include "client/client.h"
#include "queue/wake.h"

static uint64_t load(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_acquire);
}

static uint32_t announced(const pp_pool *pool, unsigned seat)
{
    return atomic_load_explicit(&pool->queue->control->seats[seat].incarnation,
                                memory_order_acquire);
}

/* Whether what a seat says is a living worker's, and not its predecessor's. */
static bool is_live(const pp_pool *pool, unsigned seat)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);

    return atomic_load_explicit(&pool->queue->control->seats[seat].state,
                                memory_order_acquire) == PPI_LIVE &&
           atomic_load_explicit(&shm->incarnation, memory_order_acquire) ==
               announced(pool, seat);
}

/* Whether a word is one that a task of this position can have. */
static bool makes_sense(const pp_pool *pool, uint64_t position, uint64_t word)
{
    unsigned seat = (unsigned)(word & 0xffff);

    return word == ppi_claim_word(position, PPI_QUEUED, 0) ||
           word == ppi_claim_word(position, PPI_REQUEUED, 0) ||
           (word == ppi_claim_word(position, PPI_CLAIMED, seat) && seat < pool->queue->seats &&
            pool->released[seat] != announced(pool, seat));
}

/* Looks who says that it runs a position: its seat, or -1: nobody, or -2: somebody may. */
static int runner_of(const pp_pool *pool, uint64_t position)
{
    int runner = -1;

    for (unsigned seat = 0; seat < pool->queue->seats; seat++) {
        const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);

        if (!is_live(pool, seat))
            continue;
        if (load(&shm->runs) == position)
            return (int)seat;
        if (load(&shm->intent) == position)
            runner = -2; /* it may have claimed it, or only tried to */
    }
    return runner;
}

/* Mends the word of a flight; false if that would be a guess. */
static bool mend(pp_pool *pool, const struct ppi_flight *flight, uint64_t word)
{
    int runner = runner_of(pool, flight->position);
    bool untouched = flight->left == flight->end - flight->begin;
    uint64_t right = runner >= 0
                         ? ppi_claim_word(flight->position, PPI_CLAIMED, (unsigned)runner)
                         : ppi_claim_word(flight->position, PPI_QUEUED, 0);

    if (runner == -2 || (runner == -1 && !untouched))
        return false;
    atomic_compare_exchange_strong(&pool->queue->claims->words[flight->position % PPI_WINDOW],
                                   &word, right);
    return true;
}

static void end_flight(pp_pool *pool, struct ppi_flight *flight)
{
    pp_result *result = flight->result;
    pp_error error = { .kind = PP_CRASHED,
                       .message = "a crashing task has damaged the queue: the item is lost" };

    for (error.index = flight->begin; error.index < flight->end; error.index++)
        ppi_fail(result, &error); /* does nothing for those that have an outcome */
    ppi_end_flight(pool, flight);
    ppi_settle(result);
}

void ppi_audit(pp_pool *pool, unsigned dead)
{
    uint64_t ran = load(&ppi_queue_seat(pool->queue, dead)->runs);
    bool mended = false;

    for (size_t slot = 0; slot < PPI_WINDOW; slot++) {
        struct ppi_flight *flight = &pool->flights[slot];
        uint64_t word = load(&pool->queue->claims->words[slot]);

        if (!flight->result || makes_sense(pool, flight->position, word))
            continue;
        if (flight->position != ran && mend(pool, flight, word))
            mended = true;
        else
            end_flight(pool, flight);
    }
    if (load(&pool->queue->claims->head) > pool->tail)
        mended = true;
    if (!mended)
        return;
    /* Below head nobody looks for a QUEUED task but for this count. */
    atomic_fetch_add_explicit(&pool->queue->shm->audits, 1, memory_order_release);
    ppi_wake_all(pool->queue);
}
