/* SPDX-License-Identifier: MIT */
/*
 * Setting claim words right.
 *
 * All workers may write them, so that a task with a wild pointer can, too.  After
 * each crash the client compares them with what it knows.  A word that cannot be is
 * mended where the seats leave no doubt; otherwise the task ends as crashed, too: it
 * is never repaired by guess.  A dead worker that has written over its own seat, too, may
 * have begun any of those.
 */
#include "base/point.h"
#include "client/client.h"
#include "queue/wake.h"

static uint64_t load(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_acquire);
}

/* Whether what a seat says is a living worker's, and not its predecessor's. */
static bool is_live(const pp_pool *pool, unsigned seat)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);

    return atomic_load_explicit(&pool->queue->control->seats[seat].state,
                                memory_order_acquire) == PPI_LIVE &&
           atomic_load_explicit(&shm->incarnation, memory_order_acquire) ==
               ppi_announced(pool, seat);
}

/* Whether a word is one that a task of this position can have. */
static bool makes_sense(const pp_pool *pool, uint64_t position, uint64_t word)
{
    unsigned seat = (unsigned)(word & 0xffff);

    return word == ppi_claim_word(position, PPI_QUEUED, 0) ||
           word == ppi_claim_word(position, PPI_REQUEUED, 0) ||
           (word == ppi_claim_word(position, PPI_CLAIMED, seat) && seat < pool->queue->seats &&
            pool->released[seat] != ppi_announced(pool, seat));
}

/* Whether all that was recorded has been taken in, also by those who may be dead. */
static bool all_is_taken(const pp_pool *pool)
{
    for (unsigned seat = 0; seat < pool->queue->seats; seat++) {
        const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);
        uint32_t incarnation = ppi_announced(pool, seat);

        if (pool->released[seat] != incarnation &&
            atomic_load_explicit(&shm->incarnation, memory_order_acquire) == incarnation &&
            load(&shm->tail) != pool->taken[seat])
            return false;
    }
    return !ppi_control_news(pool);
}

/*
 * Whether the worker that a word names does not have the task.  It said what it intends before
 * it claimed, and says the next only after it has committed.
 */
static bool is_forged(pp_pool *pool, uint64_t position, uint64_t word)
{
    unsigned seat = (unsigned)(word & 0xffff);
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);

    if (word != ppi_claim_word(position, PPI_CLAIMED, seat))
        return false;
    if (atomic_load_explicit(&shm->incarnation, memory_order_acquire) !=
        ppi_announced(pool, seat))
        return true; /* it has not begun */
    if (load(&shm->intent) == position || load(&shm->runs) == position)
        return false;
    if (all_is_taken(pool))
        return true;
    pool->audit_again = true; /* it may have ended it, and others may have begun it */
    return false;
}

enum { NOBODY = -1, LATER = -2 };

/*
 * Looks who runs a position: its seat, or NOBODY, or LATER: that cannot be told before
 * its records are taken in, or it is dead and buried.
 */
static int runner_of(pp_pool *pool, uint64_t position)
{
    for (unsigned seat = 0; seat < pool->queue->seats; seat++) {
        const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);
        uint32_t incarnation = ppi_announced(pool, seat);
        uint64_t intent;

        if (pool->released[seat] == incarnation ||
            atomic_load_explicit(&shm->incarnation, memory_order_acquire) != incarnation)
            continue;
        intent = load(&shm->intent); /* it moves on after a commit: before the tail */
        if (load(&shm->runs) == position)
            return is_live(pool, seat) ? (int)seat : LATER;
        if (intent == position) { /* it may have claimed it, or only tried to: only its */
            ppi_condemn(pool, seat, incarnation); /* death makes that sure */
            return LATER;
        }
        if (load(&shm->tail) != pool->taken[seat])
            return LATER; /* it may have ended it */
    }
    return NOBODY;
}

/* Mends the word of a flight, or puts that off; false if that would be a guess. */
static bool mend(pp_pool *pool, const struct ppi_flight *flight, uint64_t word)
{
    int runner = runner_of(pool, flight->position);
    bool untouched = flight->left == flight->end - flight->begin;
    uint64_t right = runner >= 0
                         ? ppi_claim_word(flight->position, PPI_CLAIMED, (unsigned)runner)
                         : ppi_claim_word(flight->position, PPI_QUEUED, 0);

    pool->audit_again |= runner == LATER;
    if (runner == NOBODY && (!untouched || pool->audit_doubts))
        return false;
    if (runner != LATER)
        atomic_compare_exchange_strong(
            &pool->queue->claims->words[flight->position % PPI_WINDOW], &word, right);
    return true;
}

static void end_flight(pp_pool *pool, struct ppi_flight *flight)
{
    pp_result *result = flight->result;
    pp_error error = { .kind = PP_CRASHED,
                       .message = "a crashing task has damaged the queue: the item is lost" };

    for (error.index = flight->begin; error.index < flight->end && flight->left > 0;
         error.index++)
        flight->left -= ppi_fail(result, &error); /* not if it has an outcome */
    ppi_end_flight(pool, flight);
    ppi_settle(result);
}

/* Whether a dead worker's seat still says what it ran: not if that is damaged, too. */
static bool says_what_it_ran(const pp_pool *pool, unsigned dead)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, dead);
    uint64_t ran = load(&shm->runs);

    return atomic_load_explicit(&shm->incarnation, memory_order_acquire) ==
               ppi_announced(pool, dead) &&
           (ran == PPI_NO_POSITION || ran < pool->tail);
}

/* Whether the word of a flight can stay as it is. */
static bool is_right(pp_pool *pool, const struct ppi_flight *flight, uint64_t word)
{
    return makes_sense(pool, flight->position, word) &&
           !is_forged(pool, flight->position, word);
}

/*
 * Has workers look at what is to be had from this position on, wherever they have looked already:
 * a word may have been another for a while, and head lies beyond it.
 */
static void offer_again(pp_pool *pool, uint64_t first)
{
    struct ppi_queue_shm *shm = pool->queue->shm;

    atomic_store_explicit(&shm->audited_from, first, memory_order_relaxed);
    atomic_fetch_add_explicit(&shm->audits, 1, memory_order_release);
    ppi_wake_all(pool->queue);
}

void ppi_audit(pp_pool *pool, int dead)
{
    uint64_t ran = dead < 0 ? PPI_NO_POSITION
                            : load(&ppi_queue_seat(pool->queue, (unsigned)dead)->runs);
    uint64_t head = load(&pool->queue->claims->head), first = PPI_NO_POSITION;

    if (pool->ending)
        return;
    pool->audit_doubts &= pool->audit_again;
    pool->audit_doubts |= dead >= 0 && !says_what_it_ran(pool, (unsigned)dead);
    pool->audit_again = false;
    if (head > pool->tail) /* before it looks like one that could be */
        atomic_compare_exchange_strong(&pool->queue->claims->head, &head, pool->tail);
    for (size_t slot = 0; slot < ppi_flights_end(pool); slot++) {
        struct ppi_flight *flight = &pool->flights[slot];
        _Atomic uint64_t *word = &pool->queue->claims->words[slot];
        uint64_t seen = load(word);

        if (!flight->result || flight->withdrawn)
            continue;
        if (!is_right(pool, flight, seen) &&
            (flight->position == ran || !mend(pool, flight, seen)))
            end_flight(pool, flight);
        else if (flight->position < first && ppi_is_open(flight->position, load(word)))
            first = flight->position;
    }
    if (first == PPI_NO_POSITION)
        return;
    PPI_POINT(CLIENT_MENDED);
    offer_again(pool, first);
}
