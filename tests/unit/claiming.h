/* SPDX-License-Identifier: MIT */
/* claiming.h - a queue and those who claim from it; for the tests of src/queue/claims.c */
#ifndef TESTS_UNIT_CLAIMING_H
#define TESTS_UNIT_CLAIMING_H

#include "harness.h"
#include "queue/claims.h"

#define KIB64 ((size_t)1 << 16)

enum { MOST_CLAIMERS = 8 };

static struct ppi_queue queue;
static struct ppi_claimer claimers[MOST_CLAIMERS];

/* A queue whose first position is this one, and which nobody has used before. */
static inline void set_up(uint64_t first)
{
    CHECK_EQ(ppi_queue_create(&queue, MOST_CLAIMERS, KIB64, KIB64, KIB64), 0);
    atomic_store(&queue.shm->tail, first);
    atomic_store(&queue.claims->head, first);
    for (unsigned seat = 0; seat < MOST_CLAIMERS; seat++)
        ppi_claimer_init(&claimers[seat], &queue, seat);
}

static inline void tear_down(void)
{
    ppi_queue_destroy(&queue);
}

/* A task whose first item says which position it was published at. */
static inline void publish(uint64_t position)
{
    ppi_queue_slot(&queue, position)->begin = 3 * position + 1;
    ppi_queue_slot(&queue, position)->end = UINT64_MAX;
    ppi_publish(&queue, position);
}

/* Hands it back, to go on at any item. */
static inline bool requeue(uint64_t position, unsigned seat, uint64_t item, uint32_t attempt)
{
    struct ppi_slot_shm *slot = ppi_queue_slot(&queue, position);

    if (item < slot->begin)
        slot->begin = 0;
    return ppi_requeue(&queue, position, seat, item, attempt);
}

static inline bool claim_one(struct ppi_claimer *claimer, uint64_t *position, uint64_t *first)
{
    struct ppi_start start;

    if (!ppi_claim(claimer, &start))
        return false;
    *position = start.position;
    *first = start.first;
    CHECK_EQ(start.attempt, 1);
    return true;
}

/* Claims what must be at this position. */
static inline void check_claim(unsigned seat, uint64_t expected)
{
    uint64_t position = 0, first = 0;

    CHECK(ppi_claimable(&claimers[seat]));
    CHECK(claim_one(&claimers[seat], &position, &first));
    CHECK_EQ(position, expected);
    CHECK_EQ(first, 3 * expected + 1);
    CHECK(ppi_claimed_by(&queue, position, seat));
    CHECK_EQ(atomic_load(&claimers[seat].seat->intent), position);
}

static inline void check_nothing(unsigned seat)
{
    uint64_t position, first;

    CHECK(!claim_one(&claimers[seat], &position, &first));
    CHECK(!ppi_claimable(&claimers[seat]));
}

/* Positions at which counters and generations pass a bound. */
static const uint64_t beginnings[] = {
    0,
    PPI_WINDOW - 2,
    7 * PPI_WINDOW - 2,
    (UINT64_C(1) << 32) - 2,
    (UINT64_C(1) << 32) * 5,
    (UINT64_C(1) << 43) + PPI_WINDOW - 2,
};

#define FOR_BEGINNINGS(base)                                                                  \
    for (size_t i_ = 0; i_ < sizeof beginnings / sizeof beginnings[0]; i_++)                  \
        for (uint64_t base = (set_up(beginnings[i_]), beginnings[i_]), once_ = 1; once_;      \
             once_ = 0, tear_down())

#endif
