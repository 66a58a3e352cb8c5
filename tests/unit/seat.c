/* SPDX-License-Identifier: MIT */
/*
 * A worker's seat: commits, room for results, incarnations.  The client's side of
 * it is written out here; rings have four places (see stepping.h).
 */
#include "stepping.h"

#include "queue/seat.h"
#include "queue/wake.h"

#include "harness.h"
#include "rounds.h"
#include "steps.h"

#define KIB ((size_t)1 << 10)
#define OUTBOX (64 * KIB)

static struct ppi_queue queue;
static struct ppi_seat seat;
static unsigned wakes, waits;

static int count_wait(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    (void)word;
    (void)value;
    (void)deadline_ns;
    waits++;
    return -EAGAIN;
}

static int count_wake(_Atomic uint32_t *word, int count)
{
    (void)word;
    (void)count;
    wakes++;
    return 0;
}

static const struct ppi_futex_ops counting = { .wait = count_wait, .wake = count_wake };

static void set_up(const struct ppi_futex_ops *futex)
{
    CHECK_EQ(ppi_queue_create(&queue, 2, OUTBOX, OUTBOX, OUTBOX), 0);
    queue.futex = futex;
    wakes = waits = 0;
    ppi_seat_init(&seat, &queue, 1, 1);
}

static void tear_down(void)
{
    ppi_queue_destroy(&queue);
}

/* What the client does when it has taken so many records in all. */
static void acknowledge(uint64_t taken)
{
    struct ppi_ack_shm *ack = &queue.shm->acks[1];

    atomic_store_explicit(&ack->taken, taken, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&seat.shm->wants_room, memory_order_relaxed)) {
        atomic_fetch_add(&ack->bell, 1);
        queue.futex->wake(&ack->bell, 1);
    }
}

static void commit_number(uint64_t number)
{
    struct ppi_record_shm record = { .position = number };

    ppi_seat_commit(&seat, &record, ppi_outbox_mark(&seat.outbox));
    ppi_seat_tell(&seat);
}

TEST(a_new_seat_says_nothing)
{
    set_up(&counting);
    atomic_store(&seat.shm->intent, 4);
    atomic_store(&seat.shm->runs, 5);
    atomic_store(&seat.shm->state, PPI_SEAT_RETIRED);
    ppi_seat_init(&seat, &queue, 1, 9);
    CHECK_EQ(seat.shm, ppi_queue_seat(&queue, 1));
    CHECK_EQ(atomic_load(&seat.shm->incarnation), 9);
    CHECK_EQ(atomic_load(&seat.shm->state), PPI_SEAT_STARTING);
    CHECK_EQ(atomic_load(&seat.shm->intent), PPI_NO_POSITION);
    CHECK_EQ(atomic_load(&seat.shm->runs), PPI_NO_POSITION);
    CHECK_EQ(atomic_load(&seat.shm->tail), 0);
    tear_down();
}

/* The one before wrote five records, or says so; the client has taken three. */
TEST(a_new_incarnation_begins_where_the_client_is)
{
    set_up(&counting);
    acknowledge(3);
    atomic_store(&seat.shm->tail, 5);
    ppi_seat_init(&seat, &queue, 1, 2);
    CHECK_EQ(atomic_load(&seat.shm->tail), 3);
    commit_number(70);
    CHECK_EQ(atomic_load(&seat.shm->tail), 4);
    CHECK_EQ(seat.shm->records[3].position, 70);
    for (uint64_t i = 0; i < PPI_RECORDS - 1; i++)
        commit_number(i); /* the ring has room for as many as ever */
    CHECK_EQ(waits, 0);
    tear_down();
}

TEST(records_go_round)
{
    set_up(&counting);
    for (uint64_t i = 0; i < 100; i++) {
        commit_number(i);
        CHECK_EQ(atomic_load(&seat.shm->tail), i + 1);
        CHECK_EQ(seat.shm->records[i % PPI_RECORDS].position, i);
        acknowledge(i + 1);
    }
    CHECK_EQ(waits, 0);
    CHECK_EQ(wakes, 0);
    tear_down();
}

TEST(a_commit_wakes_a_client_that_waits)
{
    set_up(&counting);
    ppi_client_announce(&queue, PPI_ANYTHING);
    commit_number(1);
    CHECK_EQ(wakes, 1);
    commit_number(2);
    CHECK_EQ(wakes, 1);
    ppi_client_announce(&queue, PPI_ANYTHING);
    ppi_seat_tell(&seat); /* of what it was told already */
    CHECK_EQ(wakes, 1);
    tear_down();
}

TEST(room_comes_back_with_what_is_taken)
{
    set_up(&counting);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK(ppi_seat_alloc(&seat, 20 * KIB) != NULL);
        commit_number(i);
    }
    acknowledge(1);
    CHECK_EQ(ppi_seat_alloc(&seat, 20 * KIB), seat.outbox.base);
    acknowledge(3);
    CHECK_EQ(ppi_seat_alloc(&seat, 20 * KIB), seat.outbox.base + 20 * KIB);
    CHECK_EQ(ppi_seat_offset(&seat, seat.outbox.base + 20 * KIB), 20 * KIB);
    CHECK_EQ(waits, 0);
    tear_down();
}

TEST(what_can_never_have_room_is_refused)
{
    set_up(&counting);
    CHECK(ppi_seat_alloc(&seat, OUTBOX + 1) == NULL);
    CHECK(ppi_seat_alloc(&seat, SIZE_MAX) == NULL);
    CHECK(ppi_seat_alloc(&seat, OUTBOX) != NULL);
    CHECK(ppi_seat_alloc(&seat, 1) == NULL); /* nothing was committed: nobody will take it */
    CHECK_EQ(waits, 0);
    tear_down();
}

/* ---- In steps: a worker that may die, and a client that takes its time ---- */

enum { MOST_RECORDS = 60 };

static struct {
    unsigned worker;
    uint32_t incarnation;
    unsigned deaths;  /* that are still to come */
    bool died, dead;  /* and the supervisor, the client does not know yet */
    uint64_t written; /* by this incarnation */
    uint64_t wanted;  /* of it, in all */
    uint64_t taken, in_order;
    bool over;
} world;

static struct random *source;

/* What lies at a payload's end and beginning. */
static uint64_t pattern(uint64_t number)
{
    return world.incarnation * UINT64_C(0x100000000) + number;
}

/* The first and the last word; a block may be too small for two. */
static void fill(char *block, size_t size, uint64_t number)
{
    uint64_t value = pattern(number);

    memcpy(block + size - sizeof value, &value, sizeof value);
    memcpy(block, &value, sizeof value);
}

static bool is_filled(const char *block, size_t size, uint64_t number)
{
    uint64_t value = pattern(number);

    return memcmp(block, &value, sizeof value) == 0 &&
           (size < 2 * sizeof value ||
            memcmp(block + size - sizeof value, &value, sizeof value) == 0);
}

/* One record with a payload, for which too much was asked first, perhaps. */
static void write_record(uint64_t number)
{
    size_t size = sizeof(uint64_t) + random_size(source, 14) - 1, more = 0;
    struct ppi_record_shm record = { .position = number, .payload_size = size };
    char *block;

    if (random_percent(source, 30)) /* another block, which nobody wants to see */
        HOLDS(*source, ppi_seat_alloc(&seat, random_size(source, 13)));
    more = random_percent(source, 30) ? random_size(source, 12) : 0;
    block = ppi_seat_alloc(&seat, size + more);
    HOLDS(*source, block);
    HOLDS(*source, ppi_outbox_valid(&seat.outbox));
    if (more)
        ppi_outbox_trim(&seat.outbox, block, size);
    fill(block, size, number);
    record.payload = ppi_seat_offset(&seat, block);
    ppi_seat_commit(&seat, &record, ppi_outbox_mark(&seat.outbox));
    if (random_percent(source, 50))
        ppi_seat_tell(&seat);
}

static void be_worker(void *what)
{
    (void)what;
    ppi_seat_init(&seat, &queue, 1, world.incarnation);
    for (uint64_t i = 0; i < world.wanted; i++)
        write_record(i);
    ppi_seat_tell(&seat);
}

static void start_worker(void)
{
    world.incarnation++;
    world.in_order = 0;
    world.wanted = random_below(source, MOST_RECORDS);
    world.worker = steps_add(be_worker, NULL);
}

static void die_perhaps(void)
{
    if (world.deaths == 0 || !random_percent(source, 1) ||
        steps_state(world.worker) >= STEPS_ENDED || world.dead)
        return;
    world.deaths--;
    world.died = true;
    steps_kill(world.worker);
}

static bool has_died(void *what)
{
    (void)what;
    return world.died || world.over;
}

static void be_supervisor(void *what)
{
    while (!world.over) {
        steps_await(has_died, what);
        world.dead |= world.died;
        world.died = false;
        ppi_wake_all(&queue);
    }
}

static void take_one(uint64_t number)
{
    struct ppi_record_shm record = seat.shm->records[number % PPI_RECORDS];
    const char *payload = ppi_queue_outbox(&queue, 1) + record.payload;

    HOLDS(*source, record.position == world.in_order);
    steps_yield();
    HOLDS(*source, is_filled(payload, record.payload_size, record.position));
    world.in_order++;
}

/* Takes some of what is there; whether there was anything. */
static bool take_in(void)
{
    struct ppi_seat_shm *shm = ppi_queue_seat(&queue, 1);
    uint64_t tail = atomic_load_explicit(&shm->tail, memory_order_acquire);

    if (atomic_load_explicit(&shm->incarnation, memory_order_acquire) != world.incarnation ||
        tail == world.taken)
        return false;
    HOLDS(*source, tail - world.taken <= PPI_RECORDS);
    if (random_percent(source, 30) && !world.dead)
        tail = world.taken + 1;
    while (world.taken != tail)
        take_one(world.taken++);
    acknowledge(world.taken);
    return true;
}

static void wait_for_records(void)
{
    uint32_t bell = ppi_client_announce(&queue, PPI_ANYTHING);

    if (!take_in() && !world.dead)
        ppi_client_sleep(&queue, bell, UINT64_MAX);
}

static void be_client(void *what)
{
    (void)what;
    while (world.dead || world.died || world.in_order < world.wanted) {
        if (world.dead) {
            while (take_in())
                ;
            world.dead = false;
            start_worker();
        } else if (!take_in()) {
            wait_for_records();
        }
    }
    world.over = true;
}

static void begin_schedule(struct random *random)
{
    source = random;
    steps_begin(random);
    memset(&world, 0, sizeof world);
    memset(&seat, 0, sizeof seat);
    set_up(&steps_futex);
    world.deaths = random_below(random, 4);
    start_worker();
    steps_add(be_supervisor, NULL);
    steps_add(be_client, NULL);
    steps_at_each(die_perhaps);
}

TEST(every_record_arrives_whole_and_once)
{
    FOR_ROUNDS(random, 3000) {
        begin_schedule(&random);
        steps_run();
        HOLDS(random, world.over);
        tear_down();
    }
}

TEST(a_lost_wake_is_noticed)
{
    unsigned stuck = 0;

    FOR_ROUNDS(random, 300) {
        begin_schedule(&random);
        steps_lose_wakes(20);
        steps_run();
        stuck += !world.over;
        tear_down();
    }
    CHECK(stuck > 0);
}
