/* SPDX-License-Identifier: MIT */
/*
 * The queue and the workers' loop as threads on one mapping, for race detectors,
 * which see nothing between processes.  The client's side is written out here.
 */
#include <procpool.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "queue/wake.h"
#include "rounds.h"
#include "worker/worker.h"

enum { WORKERS = 3, TASKS = 100000, MOST_ITEMS = 8 };

static struct ppi_queue queue;
static struct ppi_worker workers[WORKERS];

/* ---- Tasks --------------------------------------------------------------- */

static bool raises(long number)
{
    return number % 97 == 3;
}

static long triple(long number)
{
    if (raises(number))
        pp_raise((int)number, "%ld is not to be tripled, for no reason at all", number);
    return 3 * number;
}
PP_TASK(long, triple, long, number);

static const char *spell(long number)
{
    char *text = pp_reserve(64);

    if (raises(number))
        pp_raise((int)number, "no");
    snprintf(text, 64, number % 2 ? "%ld" : "a longer text: %ld", number);
    return text;
}
PP_TASK(const char *, spell, long, number);

static void ignore(long number)
{
    if (raises(number))
        pp_raise((int)number, "no");
}
PP_TASK(void, ignore, long, number);

static const pp_task *const tasks[] = { &triple_pp_task, &spell_pp_task, &ignore_pp_task };

static bool is_right(const pp_task *task, long number, const void *payload)
{
    char text[64];
    long value;

    if (task == &triple_pp_task) {
        memcpy(&value, payload, sizeof value);
        return value == 3 * number;
    }
    snprintf(text, sizeof text, number % 2 ? "%ld" : "a longer text: %ld", number);
    return task != &spell_pp_task || strcmp(payload, text) == 0;
}

/* ---- The client ---------------------------------------------------------- */

/* What runs in a slot. */
static struct flight {
    const pp_task *task; /* NULL: nothing */
    uint64_t position;
    long number; /* of the first item */
    char *out;   /* in shared memory, or NULL */
    uint64_t end;
    bool outcome[MOST_ITEMS];
    unsigned outcomes;
} flights[PPI_WINDOW];

static uint64_t tail, taken[WORKERS];
static uint64_t sparse = 1; /* only one of so many slots is used */
static unsigned running;

/* The next position whose slot is free. */
static uint64_t next_position(void)
{
    while (flights[tail % PPI_WINDOW].task || tail % sparse != 0)
        tail++;
    return tail++;
}

static void submit(struct random *random, long number)
{
    uint64_t items = random_percent(random, 50) ? 1 : 1 + random_below(random, MOST_ITEMS);
    uint64_t position = next_position();
    struct flight *flight = &flights[position % PPI_WINDOW];
    struct ppi_slot_shm *slot = ppi_queue_slot(&queue, position);

    *flight = (struct flight){ .task = tasks[random_below(random, 3)],
                               .position = position,
                               .number = number,
                               .end = items };
    if (flight->task == &triple_pp_task && random_percent(random, 50))
        flight->out = queue.shared + position % PPI_WINDOW * MOST_ITEMS * sizeof(long);
    slot->begin = 0;
    slot->end = flight->end;
    slot->run = (uintptr_t)flight->task->run;
    slot->args = (uint64_t)((char *)slot->inline_args - queue.segment.base);
    slot->out = flight->out ? (uint64_t)(flight->out - queue.segment.base) : 0;
    slot->stride = sizeof(long);
    slot->result_size = (uint32_t)flight->task->result_size;
    slot->result_kind = (uint8_t)flight->task->result_kind;
    for (uint64_t i = 0; i < flight->end; i++)
        ((long *)(void *)slot->inline_args)[i] = number + (long)i;
    ppi_publish(&queue, position);
    ppi_ring(&queue);
    running++;
}

static void check_item(const struct flight *flight, const struct ppi_record_shm *record,
                       uint64_t item, const char *payload)
{
    long number = flight->number + (long)item;

    if (record->outcome == PPI_RAISE) {
        CHECK(raises(number));
        CHECK_EQ(record->code, number);
        CHECK_EQ(record->count, 1);
        return;
    }
    CHECK_EQ(record->outcome, PPI_OK);
    CHECK(!raises(number));
    CHECK_EQ((record->flags & PPI_IN_PLACE) != 0, flight->out != NULL);
    if (flight->out) {
        CHECK_EQ(record->payload_size, 0);
        CHECK(is_right(flight->task, number, flight->out + item * sizeof(long)));
        return;
    }
    payload += (item - record->first) * flight->task->result_size;
    CHECK(is_right(flight->task, number, payload));
}

static void take(unsigned seat, const struct ppi_record_shm *record)
{
    struct flight *flight = &flights[record->position % PPI_WINDOW];
    const char *payload = record->payload_size <= PPI_INLINE_VALUE
                              ? (const char *)record->value
                              : ppi_queue_outbox(&queue, seat) + record->payload;

    CHECK(flight->task);
    CHECK_EQ(flight->position, record->position);
    CHECK(record->count > 0 && record->first + record->count <= flight->end);
    for (uint64_t i = record->first; i < record->first + record->count; i++) {
        CHECK(!flight->outcome[i]);
        flight->outcome[i] = true;
        flight->outcomes++;
        check_item(flight, record, i, payload);
    }
    CHECK_EQ((record->flags & PPI_LAST) != 0, flight->outcomes == flight->end);
    if (flight->outcomes == flight->end) {
        flight->task = NULL;
        running--;
    }
}

static void acknowledge(unsigned seat)
{
    struct ppi_ack_shm *ack = &queue.shm->acks[seat];

    atomic_store_explicit(&ack->taken, taken[seat], memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&ppi_queue_seat(&queue, seat)->wants_room,
                             memory_order_relaxed)) {
        atomic_fetch_add(&ack->bell, 1);
        queue.futex->wake(&ack->bell, 1);
    }
}

static bool take_in(void)
{
    bool any = false;

    for (unsigned seat = 0; seat < WORKERS; seat++) {
        const struct ppi_seat_shm *shm = ppi_queue_seat(&queue, seat);
        uint64_t end = atomic_load_explicit(&shm->tail, memory_order_acquire);

        if (end == taken[seat])
            continue;
        for (; taken[seat] != end; taken[seat]++)
            take(seat, &shm->records[taken[seat] % PPI_RECORDS]);
        acknowledge(seat);
        any = true;
    }
    return any;
}

static void wait_for_records(void)
{
    uint32_t bell = ppi_client_announce(&queue, PPI_ANYTHING);

    if (!take_in())
        ppi_client_sleep(&queue, bell, UINT64_MAX);
}

/* ---- The test ------------------------------------------------------------ */

static void *work(void *what)
{
    struct ppi_worker *worker = what;

    ppi_worker_init(worker, &queue, (unsigned)(worker - workers), 1, 0);
    ppi_worker_loop(worker);
    return NULL;
}

static void set_up(pthread_t *threads)
{
    tail = 3 * PPI_WINDOW - 10;
    CHECK_EQ(ppi_queue_create(&queue, WORKERS, 1 << 16, 1 << 20, 1 << 18), 0);
    atomic_store(&queue.shm->tail, tail);
    atomic_store(&queue.claims->head, tail);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
}

static void tear_down(const pthread_t *threads)
{
    atomic_store_explicit(&queue.shm->command, PPI_FINISH, memory_order_release);
    ppi_wake_all(&queue);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    ppi_queue_destroy(&queue);
}

/* Now and then the client lets everything run dry, so that all go to sleep. */
static void run_all(unsigned most_running)
{
    struct random random = { .state = 1 };
    pthread_t threads[WORKERS];
    unsigned most = most_running;

    set_up(threads);
    for (long task = 0; task < TASKS; task++) {
        submit(&random, task * MOST_ITEMS);
        take_in();
        while (running >= most)
            wait_for_records();
        if (random_percent(&random, 1))
            most = 1 + random_below(&random, random_percent(&random, 50) ? 5 : most_running);
    }
    while (running > 0)
        wait_for_records();
    CHECK(!take_in());
    tear_down(threads);
}

TEST(each_item_has_one_record, .timeout = 120)
{
    run_all(1000);
}

/* A race detector then sees who looks at a slot too late. */
TEST(slots_are_used_again_at_once, .timeout = 120)
{
    sparse = PPI_WINDOW / 8;
    run_all(6);
}

/* Each task waits for the one behind it: all workers must be at work at once. */
static atomic_int met;

static void meet(void)
{
    int wanted = (atomic_fetch_add(&met, 1) / WORKERS + 1) * WORKERS;

    while (atomic_load(&met) < wanted)
        sched_yield();
}
PP_TASK(void, meet);

static void submit_meeting(void)
{
    uint64_t position = next_position();

    flights[position % PPI_WINDOW] =
        (struct flight){ .task = &meet_pp_task, .position = position, .number = 1, .end = 1 };
    *ppi_queue_slot(&queue, position) =
        (struct ppi_slot_shm){ .end = 1, .run = (uintptr_t)meet_pp_task.run };
    ppi_publish(&queue, position);
    ppi_ring(&queue);
    running++;
}

TEST(all_workers_are_woken, .timeout = 60)
{
    pthread_t threads[WORKERS];

    set_up(threads);
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < WORKERS; i++)
            submit_meeting();
        while (running > 0)
            wait_for_records();
    }
    tear_down(threads);
}
