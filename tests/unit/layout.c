/* SPDX-License-Identifier: MIT */
/* What lies in the segment, and where. */
#include <errno.h>

#include "harness.h"
#include "queue/queue.h"

#define KIB64 ((size_t)1 << 16)

enum { SEATS = 5 };

static struct ppi_queue queue;

static void set_up(void)
{
    CHECK_EQ(ppi_queue_create(&queue, SEATS, KIB64, 4 * KIB64, 2 * KIB64), 0);
}

static void tear_down(void)
{
    ppi_queue_destroy(&queue);
}

/* Changing these makes PPI_LAYOUT another. */
TEST(sizes)
{
    CHECK_EQ(PPI_LAYOUT, 1);
    CHECK_EQ(sizeof(struct ppi_slot_shm), 128);
    CHECK_EQ(sizeof(struct ppi_ack_shm), 64);
    CHECK_EQ(sizeof(struct ppi_record_shm), 64);
    CHECK_EQ(sizeof(struct ppi_control_seat_shm), 32);
    CHECK_EQ(sizeof(struct ppi_claims_shm) % PPI_LINE, 0);
    CHECK_EQ(PPI_WINDOW & (PPI_WINDOW - 1), 0);
    CHECK_EQ(PPI_RECORDS & (PPI_RECORDS - 1), 0);
}

/* A seat leaves three records when its worker dies, and is not used again before they
   are taken. */
TEST(the_supervisors_ring_is_long_enough)
{
    struct ppi_control_shm *control = NULL;

    CHECK_EQ(sizeof control->records / sizeof control->records[0], PPI_CONTROL_RECORDS);
    CHECK(PPI_CONTROL_RECORDS >= 3 * PPI_MAX_SEATS);
    CHECK(PPI_MAX_SEATS > PPI_MAX_WORKERS);
    CHECK(PPI_MAX_SEATS <= 0xffff); /* claim words and records have 16 bits for a seat */
}

static bool share_a_line(size_t a, size_t b)
{
    return a / PPI_LINE == b / PPI_LINE;
}

#define SHARE_A_LINE(type, a, b) share_a_line(offsetof(type, a), offsetof(type, b))

/* What different processes write often lies apart. */
TEST(lines)
{
    CHECK(!SHARE_A_LINE(struct ppi_queue_shm, tail, command));
    CHECK(!SHARE_A_LINE(struct ppi_queue_shm, tail, magic));
    CHECK(!SHARE_A_LINE(struct ppi_claims_shm, head, bell));
    CHECK(!SHARE_A_LINE(struct ppi_claims_shm, head, words));
    CHECK(!SHARE_A_LINE(struct ppi_claims_shm, bell, client_bell));
    CHECK(!SHARE_A_LINE(struct ppi_claims_shm, bell, sleepers));
    CHECK(!SHARE_A_LINE(struct ppi_claims_shm, words, sleepers));
    CHECK(!SHARE_A_LINE(struct ppi_seat_shm, tail, intent));
    CHECK(!SHARE_A_LINE(struct ppi_control_shm, tail, requeues));
    CHECK_EQ(offsetof(struct ppi_slot_shm, inline_args) % PPI_LINE, 0);
    CHECK_EQ(offsetof(struct ppi_seat_shm, records) % PPI_LINE, 0);
    CHECK_EQ(offsetof(struct ppi_record_shm, value) % 16, 0);
}

/* Robust futexes: the kernel finds the word by its distance from the list's node. */
TEST(life_lies_beside_its_node)
{
    CHECK(offsetof(struct ppi_control_shm, robust_node) % sizeof(void *) == 0);
    CHECK(SHARE_A_LINE(struct ppi_control_shm, life, robust_node));
}

/* Parts begin where a page does, however large those are. */
TEST(each_part_has_its_place)
{
    const char *end;

    set_up();
    end = queue.shared;
    CHECK_EQ((char *)queue.shm, queue.segment.base);
    CHECK(queue.arena >= (char *)(queue.shm + 1));
    CHECK(queue.arena + queue.arena_size <= (char *)queue.claims);
    CHECK((char *)(queue.claims + 1) <= (char *)queue.control);
    CHECK((char *)(queue.control + 1) <= (char *)ppi_queue_seat(&queue, 0));
    for (unsigned seat = 0; seat < SEATS; seat++) {
        const char *outbox = ppi_queue_outbox(&queue, seat);
        const char *next =
            seat + 1 < SEATS ? (const char *)ppi_queue_seat(&queue, seat + 1) : end;

        CHECK(outbox >= (const char *)(ppi_queue_seat(&queue, seat) + 1));
        CHECK(outbox + queue.outbox_size <= next);
        CHECK_EQ((size_t)(outbox - queue.segment.base) % KIB64, 0);
    }
    CHECK_EQ((size_t)(queue.arena - queue.segment.base) % KIB64, 0);
    CHECK_EQ(queue.outbox_size, 4 * KIB64);
    CHECK_EQ(queue.shared + queue.shared_size, queue.segment.base + queue.segment.size);
    CHECK_EQ(queue.shared_size, 2 * KIB64);
    tear_down();
}

TEST(slots_go_round)
{
    set_up();
    CHECK_EQ(ppi_queue_slot(&queue, 0), &queue.shm->slots[0]);
    CHECK_EQ(ppi_queue_slot(&queue, PPI_WINDOW - 1), &queue.shm->slots[PPI_WINDOW - 1]);
    CHECK_EQ(ppi_queue_slot(&queue, PPI_WINDOW), &queue.shm->slots[0]);
    CHECK_EQ(ppi_queue_slot(&queue, 1000 * PPI_WINDOW + 7), &queue.shm->slots[7]);
    tear_down();
}

TEST(only_a_segment_of_this_layout_is_one)
{
    set_up();
    CHECK_EQ(memcmp(&queue.shm->magic, "procpool", 8), 0);
    CHECK_EQ(ppi_queue_check(&queue), 0);
    queue.shm->magic++;
    CHECK_EQ(ppi_queue_check(&queue), -EINVAL);
    queue.shm->magic--;
    queue.shm->layout++;
    CHECK_EQ(ppi_queue_check(&queue), -EINVAL);
    queue.shm->layout--;
    queue.shm->seats++;
    CHECK_EQ(ppi_queue_check(&queue), -EINVAL);
    queue.shm->seats--;
    CHECK_EQ(ppi_queue_check(&queue), 0);
    tear_down();
}

TEST(what_is_too_large_fails)
{
    CHECK_EQ(ppi_queue_create(&queue, SEATS, (size_t)1 << 60, KIB64, KIB64), -ENOMEM);
    CHECK_EQ(ppi_queue_create(&queue, SEATS, KIB64, (size_t)1 << 50, KIB64), -ENOMEM);
    CHECK_EQ(ppi_queue_create(&queue, SEATS, KIB64, KIB64, (size_t)1 << 60), -ENOMEM);
}
