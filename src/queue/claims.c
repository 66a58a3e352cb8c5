/* SPDX-License-Identifier: MIT */
#include "queue/claims.h"

#include "base/point.h"
#include "queue/spin.h"

#define STATE(word) ((enum ppi_claim_state)((word) >> 16 & 0xff))
/* So far is head left behind: a worker that looks from there has a line or two to read. */
#define HEAD_STEP 8

#define GENERATION(position) ((uint32_t)((position) / PPI_WINDOW + 1))

uint64_t ppi_claim_word(uint64_t position, enum ppi_claim_state state, unsigned seat)
{
    return (uint64_t)GENERATION(position) << 32 | (uint64_t)state << 16 | (seat & 0xffff);
}

static _Atomic uint64_t *word_of(const struct ppi_queue *queue, uint64_t position)
{
    return &queue->claims->words[position % PPI_WINDOW];
}

bool ppi_is_open(uint64_t position, uint64_t word)
{
    return word == ppi_claim_word(position, PPI_QUEUED, 0) ||
           word == ppi_claim_word(position, PPI_REQUEUED, 0);
}

static _Atomic uint64_t *resume_of(const struct ppi_queue *queue, uint64_t position)
{
    return &queue->control->resume[position % PPI_WINDOW];
}

static _Atomic uint32_t *attempt_of(const struct ppi_queue *queue, uint64_t position)
{
    return &queue->control->attempt[position % PPI_WINDOW];
}

void ppi_claimer_init(struct ppi_claimer *claimer, struct ppi_queue *queue, unsigned seat)
{
    *claimer = (struct ppi_claimer){
        .queue = queue, .index = seat, .seat = ppi_queue_seat(queue, seat)
    };
}

void ppi_publish(struct ppi_queue *queue, uint64_t position)
{
    /* Both pair with the acquire loads of ppi_claim(): who sees the word or the
       tail sees the slot. */
    atomic_store_explicit(word_of(queue, position), ppi_claim_word(position, PPI_QUEUED, 0),
                          memory_order_release);
    PPI_POINT(CLIENT_QUEUED);
    atomic_store_explicit(&queue->shm->tail, position + 1, memory_order_release);
    ppi_publish_cpu(queue, &queue->shm->client_cpu);
}

/* What was handed back begins where the supervisor says, if that can be: a word that was damaged
   may say so of a task that never was. */
static void resume(const struct ppi_queue *queue, uint64_t position,
                   const struct ppi_slot_shm *slot, struct ppi_start *start)
{
    uint64_t first = atomic_load_explicit(resume_of(queue, position), memory_order_acquire);

    if (first < slot->begin || first >= slot->end)
        return;
    start->first = first;
    start->attempt = atomic_load_explicit(attempt_of(queue, position), memory_order_acquire);
}

/*
 * One try to take what the word at a position offers.  The intent comes first: the
 * reap of a worker that dies right after the CAS must know where to look.
 */
static bool take(struct ppi_claimer *claimer, uint64_t position, struct ppi_start *start)
{
    struct ppi_queue *queue = claimer->queue;
    const struct ppi_slot_shm *slot;
    _Atomic uint64_t *word = word_of(queue, position);
    uint64_t seen = atomic_load_explicit(word, memory_order_acquire);
    uint64_t mine = ppi_claim_word(position, PPI_CLAIMED, claimer->index);

    if (!ppi_is_open(position, seen))
        return false;
    atomic_store_explicit(&claimer->seat->intent, position, memory_order_release);
    PPI_POINT(WORKER_INTENDS);
    if (!atomic_compare_exchange_strong_explicit(word, &seen, mine, memory_order_seq_cst,
                                                 memory_order_relaxed))
        return false;
    PPI_POINT(WORKER_CLAIMED);
    slot = ppi_queue_slot(queue, position);
    start->position = position;
    start->first = slot->begin;
    start->attempt = 1;
    if (STATE(seen) == PPI_REQUEUED)
        resume(queue, position, slot, start);
    /* A word that was damaged may offer what is over, and whose arguments are gone. */
    return !atomic_load_explicit(&slot->over, memory_order_relaxed);
}

/* The position that a word speaks of. */
static uint64_t position_of(uint64_t slot, uint64_t word)
{
    return ((word >> 32) - 1) * PPI_WINDOW + slot;
}

/* Looks at every word, whatever head says, for one of this state. */
static bool take_any(struct ppi_claimer *claimer, enum ppi_claim_state state,
                     struct ppi_start *start)
{
    for (uint64_t slot = 0; slot < PPI_WINDOW; slot++) {
        uint64_t word = atomic_load_explicit(&claimer->queue->claims->words[slot],
                                             memory_order_relaxed);

        if (STATE(word) == state && ppi_is_published(claimer->queue, position_of(slot, word)) &&
            take(claimer, position_of(slot, word), start))
            return true;
    }
    return false;
}

/* Where to look from: head, or from farther on where this worker has looked itself. */
static uint64_t first_of(const struct ppi_claimer *claimer, uint64_t head, uint64_t tail)
{
    return head < claimer->next && claimer->next <= tail ? claimer->next : head;
}

/* Whether a head is nonsense, or very late: then all words are looked at, not all positions. */
static bool is_far(uint64_t head, uint64_t tail)
{
    return head > tail || tail - head > 2 * PPI_WINDOW;
}

/* Takes the first task of those that the worker knows to have been published. */
static bool take_known(struct ppi_claimer *claimer, uint64_t head, struct ppi_start *start)
{
    uint64_t next = first_of(claimer, head, claimer->tail);
    bool taken = false;

    if (is_far(next, claimer->tail))
        return false;
    while (next < claimer->tail && !taken)
        taken = take(claimer, next++, start);
    claimer->next = next;
    return taken;
}

/* The same of all, after those. */
static bool take_new(struct ppi_claimer *claimer, uint64_t head, struct ppi_start *start)
{
    claimer->tail = atomic_load_explicit(&claimer->queue->shm->tail, memory_order_acquire);
    if (!is_far(head, claimer->tail))
        return take_known(claimer, head, start);
    /* Nonsense, or very late: only when all words say no is nothing left below the tail.  Until
       then nothing is known; a head that is too large would look right one day. */
    claimer->next = 0;
    if (take_any(claimer, PPI_QUEUED, start))
        return true;
    claimer->next = claimer->tail;
    return false;
}

/*
 * Takes the first task from head on.  The client writes the tail for every task: it is
 * not read for every one.
 */
static bool take_next(struct ppi_claimer *claimer, struct ppi_start *start)
{
    _Atomic uint64_t *hint = &claimer->queue->claims->head;
    uint64_t head = atomic_load_explicit(hint, memory_order_acquire);
    bool taken = take_known(claimer, head, start) || take_new(claimer, head, start);

    PPI_POINT(WORKER_LOOKED_ON);
    /* Helps others, but not at each step; that it fails does no harm. */
    if (claimer->next - head >= HEAD_STEP || (!taken && claimer->next != head))
        atomic_compare_exchange_strong_explicit(hint, &head, claimer->next,
                                                memory_order_acq_rel, memory_order_relaxed);
    return taken;
}

/* Takes a task that was handed back, wherever it is, if the count of them has moved. */
static bool take_requeued(struct ppi_claimer *claimer, struct ppi_start *start)
{
    /* Pairs with the release of ppi_requeue(): the word is there when the count is. */
    uint64_t now = atomic_load_explicit(&claimer->queue->control->requeues, memory_order_acquire);

    if (now == claimer->requeues)
        return false;
    if (take_any(claimer, PPI_REQUEUED, start))
        return true;
    claimer->requeues = now;
    return false;
}

/* Takes the first task that the client has found in its last audit, if there was one since. */
static bool take_audited(struct ppi_claimer *claimer, struct ppi_start *start)
{
    const struct ppi_queue_shm *shm = claimer->queue->shm;
    /* Pairs with the release of ppi_audit(): the words are there when the count is. */
    uint64_t now = atomic_load_explicit(&shm->audits, memory_order_acquire);

    if (now == claimer->audits)
        return false;
    if (now != claimer->audited) {
        claimer->audited = now;
        claimer->found = atomic_load_explicit(&shm->audited_from, memory_order_relaxed);
        claimer->found_end = atomic_load_explicit(&shm->tail, memory_order_acquire);
    }
    if (is_far(claimer->found, claimer->found_end) &&
        (take_any(claimer, PPI_QUEUED, start) || take_any(claimer, PPI_REQUEUED, start)))
        return true;
    while (!is_far(claimer->found, claimer->found_end) && claimer->found < claimer->found_end)
        if (take(claimer, claimer->found++, start))
            return true;
    claimer->audits = now;
    return false;
}

bool ppi_claim(struct ppi_claimer *claimer, struct ppi_start *start)
{
    /* What was handed back is older than what comes from head on. */
    return take_requeued(claimer, start) || take_audited(claimer, start) ||
           take_next(claimer, start);
}

bool ppi_claimable(const struct ppi_claimer *claimer)
{
    const struct ppi_queue *queue = claimer->queue;
    uint64_t head = atomic_load_explicit(&queue->claims->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&queue->shm->tail, memory_order_acquire);

    if (atomic_load_explicit(&queue->control->requeues, memory_order_acquire) !=
            claimer->requeues ||
        atomic_load_explicit(&queue->shm->audits, memory_order_acquire) != claimer->audits)
        return true;
    if (is_far(head, tail))
        return true;
    for (head = first_of(claimer, head, tail); head < tail; head++)
        if (ppi_is_open(head, atomic_load_explicit(word_of(queue, head), memory_order_acquire)))
            return true;
    return false;
}

bool ppi_is_published(const struct ppi_queue *queue, uint64_t position)
{
    return position < atomic_load_explicit(&queue->shm->tail, memory_order_acquire);
}

bool ppi_claimed_by(const struct ppi_queue *queue, uint64_t position, unsigned seat)
{
    return atomic_load_explicit(word_of(queue, position), memory_order_acquire) ==
           ppi_claim_word(position, PPI_CLAIMED, seat);
}

bool ppi_held_by_another(const struct ppi_queue *queue, uint64_t position, unsigned seat)
{
    uint64_t word = atomic_load_explicit(word_of(queue, position), memory_order_acquire);
    unsigned holder = (unsigned)(word & 0xffff);

    if (word == ppi_claim_word(position, PPI_CLAIMED, seat))
        return false;
    return word == ppi_claim_word(position, PPI_CLAIMED, holder)
               ? holder < queue->seats
               : ppi_is_open(position, word) || word == ppi_claim_word(position, PPI_WITHDRAWN, 0);
}

bool ppi_requeue(struct ppi_queue *queue, uint64_t position, unsigned seat, uint64_t item,
                 uint32_t attempt)
{
    uint64_t mine = ppi_claim_word(position, PPI_CLAIMED, seat);

    if (!ppi_claimed_by(queue, position, seat))
        return false;
    atomic_store_explicit(resume_of(queue, position), item, memory_order_release);
    atomic_store_explicit(attempt_of(queue, position), attempt, memory_order_release);
    PPI_POINT(SUPERVISOR_RESUME_SAID);
    if (!atomic_compare_exchange_strong(word_of(queue, position), &mine,
                                        ppi_claim_word(position, PPI_REQUEUED, 0)))
        return false;
    PPI_POINT(SUPERVISOR_REQUEUED);
    atomic_fetch_add_explicit(&queue->control->requeues, 1, memory_order_release);
    return true;
}

/* ---- Cancelling ---- */

static uint64_t cancel_word(uint64_t position, enum ppi_cancelled how)
{
    return (position + 1) << 2 | how;
}

bool ppi_withdraw(struct ppi_queue *queue, uint64_t position)
{
    _Atomic uint64_t *word = word_of(queue, position);
    uint64_t seen = atomic_load_explicit(word, memory_order_acquire);

    /* Only QUEUED can become another state meanwhile that may be withdrawn. */
    while (ppi_is_open(position, seen))
        if (atomic_compare_exchange_weak(word, &seen,
                                         ppi_claim_word(position, PPI_WITHDRAWN, 0)))
            return true;
    return false;
}

void ppi_set_cancelled(struct ppi_queue *queue, uint64_t position, enum ppi_cancelled how)
{
    atomic_store(&queue->shm->cancels[position % PPI_WINDOW], cancel_word(position, how));
    PPI_POINT(CLIENT_CANCEL_SAID);
    /* Partners: the fences in ppi_run_task() and in the supervisor's look. */
    atomic_thread_fence(memory_order_seq_cst);
}

enum ppi_cancelled ppi_cancelled(const struct ppi_queue *queue, uint64_t position)
{
    uint64_t word = atomic_load_explicit(&queue->shm->cancels[position % PPI_WINDOW],
                                         memory_order_acquire);

    for (enum ppi_cancelled how = PPI_SOON; how <= PPI_NOW; how++)
        if (word == cancel_word(position, how))
            return how;
    return PPI_GOES_ON;
}
