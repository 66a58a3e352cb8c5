/* SPDX-License-Identifier: MIT */
/* What is taken back before anybody has claimed it, and what is to end afterwards. */
#include <pthread.h>
#include <sched.h>

#include "claiming.h"
#include "harness.h"
#include "queue/claims.h"
#include "rounds.h"

TEST(what_nobody_has_claimed_can_be_withdrawn)
{
    FOR_BEGINNINGS(base)
    {
        publish(base);
        publish(base + 1);
        CHECK(!ppi_withdraw(&queue, base + 2));
        CHECK(!ppi_withdraw(&queue, base + PPI_WINDOW));
        CHECK(ppi_withdraw(&queue, base));
        CHECK(!ppi_withdraw(&queue, base));
        check_claim(0, base + 1);
        check_nothing(0);
        for (unsigned seat = 0; seat < MOST_CLAIMERS; seat++) {
            CHECK(!ppi_claimed_by(&queue, base, seat));
            CHECK(!ppi_requeue(&queue, base, seat, 1, 1));
        }
    }
}

TEST(what_somebody_has_claimed_cannot_be_withdrawn)
{
    FOR_BEGINNINGS(base)
    {
        publish(base);
        check_claim(3, base);
        CHECK(!ppi_withdraw(&queue, base));
        CHECK(ppi_claimed_by(&queue, base, 3));
    }
}

TEST(what_was_handed_back_can_be_withdrawn)
{
    FOR_BEGINNINGS(base)
    {
        publish(base);
        check_claim(3, base);
        CHECK(ppi_requeue(&queue, base, 3, 5, 2));
        CHECK(ppi_withdraw(&queue, base));
        CHECK(!ppi_withdraw(&queue, base));
        for (unsigned seat = 0; seat < MOST_CLAIMERS; seat++) {
            uint64_t position, first;

            CHECK(!claim_one(&claimers[seat], &position, &first));
            check_nothing(seat);
        }
    }
}

/* A slot whose task was withdrawn is used for the next, and a head that has fallen back
   does not bring it up again. */
TEST(a_withdrawn_slot_is_used_again)
{
    FOR_BEGINNINGS(base)
    {
        publish(base);
        CHECK(ppi_withdraw(&queue, base));
        check_nothing(0);
        atomic_store(&queue.claims->head, base);
        check_nothing(1);
        atomic_store(&queue.claims->head, UINT64_MAX / 3);
        check_nothing(2);
        publish(base + PPI_WINDOW);
        CHECK(!ppi_withdraw(&queue, base));
        check_claim(0, base + PPI_WINDOW);
    }
}

TEST(words_that_say_nonsense_are_not_withdrawn)
{
    FOR_BEGINNINGS(base)
    {
        for (uint64_t slot = 0; slot < PPI_WINDOW; slot++)
            atomic_store(&queue.claims->words[slot], slot * UINT64_C(0x9e3779b97f4a7c15));
        for (uint64_t p = base; p < base + PPI_WINDOW; p++)
            if (atomic_load(&queue.claims->words[p % PPI_WINDOW]) != 0)
                CHECK(!ppi_withdraw(&queue, p));
    }
}

static bool is_cancelled(uint64_t position)
{
    return ppi_is_cancelled(&queue.shm->cancels[position % PPI_WINDOW], position);
}

TEST(only_what_is_meant_is_cancelled)
{
    FOR_BEGINNINGS(base)
    {
        for (uint64_t p = base; p < base + PPI_WINDOW; p++) {
            CHECK_EQ(ppi_cancelled(&queue, p), PPI_GOES_ON);
            CHECK(!is_cancelled(p));
        }
        ppi_set_cancelled(&queue, base + 7, PPI_SOON);
        CHECK_EQ(ppi_cancelled(&queue, base + 7), PPI_SOON);
        CHECK(is_cancelled(base + 7));
        ppi_set_cancelled(&queue, base + 7, PPI_NOW);
        CHECK_EQ(ppi_cancelled(&queue, base + 7), PPI_NOW);
        CHECK(is_cancelled(base + 7));
        for (uint64_t p = base; p < base + 3 * PPI_WINDOW; p++) {
            if (p == base + 7)
                continue;
            CHECK_EQ(ppi_cancelled(&queue, p), PPI_GOES_ON);
            CHECK(!is_cancelled(p));
        }
    }
}

/* What the client has cancelled stays so when it is handed back, and ends with its slot. */
TEST(a_cancelled_task_stays_cancelled)
{
    FOR_BEGINNINGS(base)
    {
        uint64_t position, first;

        publish(base);
        check_claim(0, base);
        ppi_set_cancelled(&queue, base, PPI_NOW);
        CHECK(ppi_requeue(&queue, base, 0, 2, 1));
        CHECK(claim_one(&claimers[1], &position, &first));
        CHECK_EQ(ppi_cancelled(&queue, base), PPI_NOW);
        publish(base + PPI_WINDOW);
        CHECK_EQ(ppi_cancelled(&queue, base + PPI_WINDOW), PPI_GOES_ON);
        CHECK(!is_cancelled(base + PPI_WINDOW));
    }
}

/* Nonsense in the word is no cancel, whatever position it is asked about. */
TEST(cancel_words_that_say_nonsense)
{
    FOR_ROUNDS(random, 20)
    {
        set_up(0);
        for (uint64_t slot = 0; slot < PPI_WINDOW; slot++) {
            uint64_t word = random_next(&random) | UINT64_C(1) << 63;

            atomic_store(&queue.shm->cancels[slot], word);
            HOLDS(random, ppi_cancelled(&queue, slot) == PPI_GOES_ON);
            HOLDS(random, !is_cancelled(slot));
        }
        tear_down();
    }
}

/* ---- In threads ---------------------------------------------------------- */

enum { THREADS = 4, THREAD_TASKS = HARNESS_SANITIZED ? 25000 : 100000 };

/* The position that was claimed in a slot, plus 1; the client sets it to 0. */
static _Atomic uint64_t ended[PPI_WINDOW];
static atomic_bool over;

static void *snatch(void *claimer)
{
    uint64_t position, first;

    while (!atomic_load(&over))
        if (claim_one(claimer, &position, &first))
            CHECK_EQ(atomic_exchange(&ended[position % PPI_WINDOW], position + 1), 0);
    return NULL;
}

/* The client takes back what it has published a moment ago, while all try to claim it: one
   of them has it, and only one. */
TEST(withdrawn_or_claimed, .timeout = 60)
{
    pthread_t threads[THREADS];
    uint64_t withdrawn = 0;

    set_up(16);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, snatch, &claimers[i]), 0);
    for (uint64_t p = 16; p < 16 + THREAD_TASKS; p++) {
        publish(p);
        for (volatile uint64_t n = p % 1024; n > 0; n--)
            ;
        if (ppi_withdraw(&queue, p)) {
            withdrawn++;
            continue;
        }
        while (atomic_load(&ended[p % PPI_WINDOW]) == 0)
            sched_yield();
        CHECK_EQ(atomic_exchange(&ended[p % PPI_WINDOW], 0), p + 1);
    }
    atomic_store(&over, true);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (uint64_t slot = 0; slot < PPI_WINDOW; slot++)
        CHECK_EQ(atomic_load(&ended[slot]), 0);
    CHECK(withdrawn > 0 && withdrawn < THREAD_TASKS);
    tear_down();
}
