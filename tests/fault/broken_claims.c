/* SPDX-License-Identifier: MIT */
/*
 * src/queue/claims.c with a claim in two steps: first that the task is taken, then
 * by whom.  A program that is linked with this gets it instead of the library's.
 */
#include <stdbool.h>
#include <stdint.h>

#define ppi_claim claim_in_one_step
#include "queue/claims.c"
#undef ppi_claim

enum { NOBODY = 0xffff };

bool ppi_claim(struct ppi_claimer *claimer, struct ppi_start *start);

bool ppi_claim(struct ppi_claimer *claimer, struct ppi_start *start)
{
    uint64_t tail = atomic_load(&claimer->queue->shm->tail), seen;

    claimer->requeues = atomic_load(&claimer->queue->control->requeues);
    for (uint64_t position = 0; position < tail; position++) {
        _Atomic uint64_t *word = word_of(claimer->queue, position);

        seen = atomic_load(word);
        if (!ppi_is_open(position, seen))
            continue;
        atomic_store(&claimer->seat->intent, position);
        if (!atomic_compare_exchange_strong(word, &seen,
                                            ppi_claim_word(position, PPI_CLAIMED, NOBODY)))
            continue;
        start->position = position;
        start->attempt = 1;
        start->first = STATE(seen) == PPI_REQUEUED
                           ? atomic_load(resume_of(claimer->queue, position))
                           : ppi_queue_slot(claimer->queue, position)->begin;
        atomic_store(word, ppi_claim_word(position, PPI_CLAIMED, claimer->index));
        return true;
    }
    return false;
}
