/* SPDX-License-Identifier: MIT */
/*
 * The orders of the queue on the machine as it is.
 *
 * Two parties meet at a barrier and do one thing each at the same moment, with the library's
 * own functions: over and over, as threads and as processes.  What must not come of it is
 * counted.  A twin with weaker orders shows that this would be seen: of what C11 leaves open,
 * x86 only lets a load overtake a store, so there only that can have one.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "queue/seat.h"
#include "queue/wake.h"

enum { SPINS = 2000, MOST_ROUNDS = 400000 };
#define MOST_NS (200 * PPI_MS) /* that a test goes on for */

/* In the part of the segment that is the user's. */
struct meeting {
    _Alignas(PPI_LINE) _Atomic uint64_t here[2]; /* the round that a party has come to */
    _Alignas(PPI_LINE) _Atomic uint64_t saw;     /* what the right one has seen */
    _Atomic uint32_t over;
};

struct shape {
    void (*reset)(void);
    uint64_t (*left)(uint64_t round), (*right)(uint64_t round);
    bool (*forbidden)(uint64_t round, uint64_t left, uint64_t right);
};

static struct ppi_queue queue;
static struct ppi_seat seat;
static struct ppi_claimer claimers[2];
static struct meeting *meeting;
static _Thread_local bool woke, slept;

/* ---- The kernel's part: whoever would sleep or wake says so -------------- */

/* For the left party: as long as the other may still wake it. */
static int note_wait(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    uint64_t round = atomic_load(&meeting->here[0]);

    (void)deadline_ns;
    while (atomic_load(word) == value && atomic_load(&meeting->here[1]) <= round)
        sched_yield();
    slept = atomic_load(word) == value;
    return 0;
}

static int note_wake(_Atomic uint32_t *word, int count)
{
    (void)word, (void)count;
    woke = true;
    return 0;
}

static struct ppi_futex_ops ops;

/* ---- Meeting -------------------------------------------------------------- */

/* The parties begin a round at the same moment, as far as that goes. */
static void meet(int party, uint64_t round)
{
    atomic_store(&meeting->here[party], round);
    for (int spins = 0; atomic_load(&meeting->here[!party]) < round; spins++)
        if (spins > SPINS && !atomic_load(&meeting->over))
            sched_yield();
}

static void *be_right(void *what)
{
    const struct shape *shape = what;

    for (uint64_t round = 1;; round++) {
        meet(1, 2 * round - 1);
        if (atomic_load(&meeting->over))
            return NULL;
        atomic_store(&meeting->saw, shape->right(round));
        meet(1, 2 * round);
    }
}

/* Until something forbidden was seen, if that is wanted, or time is up. */
static uint64_t be_left(const struct shape *shape, bool until_seen, uint64_t *rounds)
{
    uint64_t end = ppi_now_ns() + (until_seen ? 20 : 1) * MOST_NS, seen = 0, round = 0;

    while (round++ < MOST_ROUNDS * (until_seen ? 20 : 1) && !(until_seen && seen) &&
           (round % 64 || ppi_now_ns() < end)) {
        uint64_t saw;

        shape->reset();
        meet(0, 2 * round - 1);
        saw = shape->left(round);
        meet(0, 2 * round);
        seen += shape->forbidden(round, saw, atomic_load(&meeting->saw));
    }
    *rounds = round - 1;
    atomic_store(&meeting->over, 1);
    atomic_store(&meeting->here[0], UINT64_MAX);
    return seen;
}

static void begin(void)
{
    CHECK_EQ(ppi_queue_create(&queue, 2, 65536, 65536, 65536), 0);
    ops = ppi_futex;
    ops.wait = note_wait;
    ops.wake = note_wake;
    queue.futex = &ops;
    queue.event.writer = -1;
    meeting = (void *)queue.shared;
    atomic_store(&queue.shm->workers, 2);
    ppi_seat_init(&seat, &queue, 0, 1);
    for (unsigned i = 0; i < 2; i++)
        ppi_claimer_init(&claimers[i], &queue, i);
}

/* How often it was seen; in how many rounds. */
static uint64_t run(const struct shape *shape, bool processes, bool until_seen,
                    uint64_t *rounds)
{
    pthread_t thread;
    uint64_t seen;
    pid_t pid = -1;

    begin();
    if (processes)
        pid = fork();
    if (pid == 0) {
        be_right((void *)(uintptr_t)shape);
        _exit(0);
    }
    if (!processes)
        CHECK_EQ(pthread_create(&thread, NULL, be_right, (void *)(uintptr_t)shape), 0);
    seen = be_left(shape, until_seen, rounds);
    if (processes)
        CHECK_EQ(waitpid(pid, NULL, 0), pid);
    else
        pthread_join(thread, NULL);
    ppi_queue_destroy(&queue);
    return seen;
}

static void never_seen(const struct shape *shape)
{
    for (int processes = 0; processes < 2; processes++) {
        uint64_t rounds, seen = run(shape, processes, false, &rounds);

        fprintf(stderr, "%llu of %llu rounds, as %s\n", (unsigned long long)seen,
                (unsigned long long)rounds, processes ? "processes" : "threads");
        CHECK_EQ(seen, 0);
    }
}

/* The twin with weaker orders. */
static void seen_at_last(const struct shape *shape)
{
#if defined(__x86_64__)
    uint64_t rounds;

    if (!run(shape, false, true, &rounds))
        SKIP("not seen in %llu rounds: the parties did not run side by side",
             (unsigned long long)rounds);
    fprintf(stderr, "seen after %llu rounds\n", (unsigned long long)rounds);
#else
    (void)shape;
    SKIP("it is known of x86 only what the processor shows at all");
#endif
}

/* ---- Store and look: a client that is about to sleep, a worker that commits ---- */

static void no_client(void)
{
    atomic_store(&queue.claims->client_waits, 0);
    atomic_store(&seat.shm->tail, 0);
    atomic_store(&queue.shm->acks[0].taken, 0);
}

/* Whether the client has seen the record, and so will not sleep. */
static uint64_t announces(uint64_t round)
{
    (void)round;
    ppi_client_announce(&queue, PPI_ANYTHING);
    return atomic_load_explicit(&seat.shm->tail, memory_order_acquire) > 0;
}

/* Whether the worker has woken it. */
static uint64_t commits(uint64_t round)
{
    const struct ppi_record_shm record = { .position = round, .count = 1 };

    woke = false;
    seat.tail = seat.taken = seat.pressed = 0;
    ppi_seat_commit(&seat, &record, 0);
    ppi_seat_tell(&seat);
    return woke;
}

static uint64_t announces_weakly(uint64_t round)
{
    (void)round;
    atomic_store_explicit(&queue.claims->client_waits, PPI_ANY, memory_order_release);
    return atomic_load_explicit(&seat.shm->tail, memory_order_acquire) > 0;
}

static uint64_t commits_weakly(uint64_t round)
{
    (void)round;
    atomic_store_explicit(&seat.shm->tail, 1, memory_order_release);
    return atomic_load_explicit(&queue.claims->client_waits, memory_order_relaxed) != 0;
}

static bool both_blind(uint64_t round, uint64_t left, uint64_t right)
{
    (void)round;
    return !left && !right;
}

TEST(client_sleeps_or_is_woken, .timeout = 60)
{
    never_seen(&(struct shape){ no_client, announces, commits, both_blind });
}

TEST(client_sleeps_and_is_not_woken_without_fences, .timeout = 120)
{
    seen_at_last(&(struct shape){ no_client, announces_weakly, commits_weakly, both_blind });
}

/* ---- The same: a worker that is about to sleep, a client that publishes ---- */

static void no_worker(void)
{
    atomic_store(&queue.claims->sleepers[0], 0);
    atomic_store(&queue.claims->waking, PPI_NOBODY);
}

static uint64_t sleeps(uint64_t round)
{
    struct ppi_start start;

    slept = false;
    ppi_sleep(&claimers[0]);
    return !slept && ppi_claim(&claimers[0], &start) && start.position == round - 1;
}

static uint64_t publishes(uint64_t round)
{
    woke = false;
    ppi_publish(&queue, round - 1);
    ppi_ring(&queue);
    return woke;
}

/* Whether it sleeps on, or was woken for nothing. */
static bool overslept(uint64_t round, uint64_t left, uint64_t right)
{
    (void)round, (void)right;
    return !left;
}

TEST(worker_sleeps_or_is_woken, .timeout = 60)
{
    never_seen(&(struct shape){ no_worker, sleeps, publishes, overslept });
}

/* ---- Message passing: a slot by its claim word, a record by its tail ----- */

static void nothing(void)
{
}

static uint64_t fills(uint64_t round)
{
    struct ppi_slot_shm *slot = ppi_queue_slot(&queue, round);

    slot->begin = slot->end = slot->run = slot->args = round;
    ppi_publish(&queue, round);
    return 0;
}

/* Whether what it has claimed is not what was published. */
static uint64_t claims(uint64_t round)
{
    struct ppi_start start;
    const struct ppi_slot_shm *slot = ppi_queue_slot(&queue, round);

    claimers[1].next = round; /* there is nothing before */
    atomic_store_explicit(&queue.claims->head, round, memory_order_relaxed);
    for (int i = 0; i < 50; i++)
        if (ppi_claim(&claimers[1], &start))
            return start.position != round || start.first != round || slot->args != round ||
                   slot->end != round;
    return 0;
}

static bool is_torn(uint64_t round, uint64_t left, uint64_t right)
{
    (void)round;
    return left || right;
}

TEST(what_is_claimed_is_what_was_published, .timeout = 60)
{
    never_seen(&(struct shape){ nothing, fills, claims, is_torn });
}

static uint64_t looks_for_record(uint64_t round)
{
    const struct ppi_record_shm *record = &seat.shm->records[0];

    for (int i = 0; i < 50; i++)
        if (atomic_load_explicit(&seat.shm->tail, memory_order_acquire) > 0)
            return record->position != round || record->count != 1;
    return 0;
}

static uint64_t only_commits(uint64_t round)
{
    commits(round);
    return 0;
}

TEST(what_is_taken_in_is_what_was_committed, .timeout = 60)
{
    never_seen(&(struct shape){ no_client, looks_for_record, only_commits, is_torn });
}

/* ---- Two that want the same ----------------------------------------------- */

static uint64_t next_position;

static void one_task(void)
{
    ppi_publish(&queue, next_position);
    next_position++;
}

static uint64_t first_claims(uint64_t round)
{
    struct ppi_start start;

    (void)round;
    return ppi_claim(&claimers[0], &start);
}

static uint64_t second_claims(uint64_t round)
{
    struct ppi_start start;

    (void)round;
    return ppi_claim(&claimers[1], &start);
}

static bool not_one(uint64_t round, uint64_t left, uint64_t right)
{
    (void)round;
    return left + right != 1;
}

TEST(one_of_two_claims_it, .timeout = 60)
{
    next_position = 0;
    never_seen(&(struct shape){ one_task, first_claims, second_claims, not_one });
}

static uint64_t withdraws(uint64_t round)
{
    (void)round;
    return ppi_withdraw(&queue, next_position - 1);
}

TEST(it_is_claimed_or_withdrawn, .timeout = 60)
{
    next_position = 0;
    never_seen(&(struct shape){ one_task, withdraws, second_claims, not_one });
}

/* ---- Cancel and stop: each says what it does and looks at the other ------- */

static void no_cancel(void)
{
    atomic_store(&queue.shm->cancels[0], 0);
    atomic_store(&seat.shm->runs, PPI_NO_POSITION);
}

static uint64_t cancels(uint64_t round)
{
    (void)round;
    ppi_set_cancelled(&queue, 0, PPI_NOW);
    return atomic_load_explicit(&seat.shm->runs, memory_order_acquire) == 0;
}

/* As begin() of src/worker/run.c. */
static uint64_t begins(uint64_t round)
{
    (void)round;
    atomic_store_explicit(&seat.shm->runs, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    return ppi_cancelled(&queue, 0) == PPI_NOW;
}

static uint64_t begins_without_fence(uint64_t round)
{
    (void)round;
    atomic_store_explicit(&seat.shm->runs, 0, memory_order_relaxed);
    return ppi_cancelled(&queue, 0) == PPI_NOW;
}

TEST(it_is_seen_to_run_or_sees_that_it_is_cancelled, .timeout = 60)
{
    never_seen(&(struct shape){ no_cancel, cancels, begins, both_blind });
}

TEST(neither_is_seen_without_the_workers_fence, .timeout = 120)
{
    seen_at_last(&(struct shape){ no_cancel, cancels, begins_without_fence, both_blind });
}
