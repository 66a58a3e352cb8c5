/* SPDX-License-Identifier: MIT */
/*
 * Sleeping and waking, in schedules of steps: a client, workers that may die, and a
 * supervisor.  Only claims and wakes are the library's; tasks do nothing but end.
 */
#include "stepping.h"

#include <poll.h>

#include "queue/idle.h"
#include "queue/wake.h"

#include "harness.h"
#include "rounds.h"
#include "steps.h"

#define KIB64 ((size_t)1 << 16)

enum { MOST_WORKERS = 4, MOST_TASKS = 40, MOST_RUNNING = PPI_WINDOW * 3 / 4 };

/* What a test breaks on purpose. */
struct faults {
    unsigned lost_wakes; /* percent */
    bool silent_reaper;  /* does not wake anybody */
    bool no_passing_on;
    bool owes; /* the supervisor leaves undone what workers cannot */
};

static struct ppi_queue queue;
static struct random *source;
static struct faults faults;

static struct {
    unsigned workers, tasks, endless, deaths;
    unsigned client, process[MOST_WORKERS];
    bool dead[MOST_WORKERS]; /* and not reaped yet */
    bool closed[MOST_WORKERS]; /* their tasks have closed the event */
    bool loops;                /* the client sleeps in an event loop */
    struct ppi_claimer claimers[MOST_WORKERS];
    struct ppi_idler idlers[MOST_WORKERS];
    unsigned ended; /* tasks, as the client knows */
    bool over;
} world;

/* The position that has ended last in each slot, plus 1: a task's commit. */
static _Atomic uint64_t ended[PPI_WINDOW];

/* What is published, in the client; args is the task's number. */
static uint64_t running[PPI_WINDOW];

/* ---- The worker ---------------------------------------------------------- */

static bool only_endless_are_left(void *what)
{
    (void)what;
    return world.ended >= world.tasks - world.endless;
}

/* Some tasks last as long as there are others: those are for the other workers. */
static void run(uint64_t position)
{
    _Atomic uint64_t *end = &ended[position % PPI_WINDOW];

    if (ppi_queue_slot(&queue, position)->args < world.endless)
        steps_await(only_endless_are_left, NULL);
    HOLDS(*source, atomic_load(end) != position + 1);
    atomic_store_explicit(end, position + 1, memory_order_release);
    ppi_wake_client(&queue);
}

static void work(void *what)
{
    struct ppi_claimer *claimer = what;
    struct ppi_start start;

    atomic_store(&claimer->seat->intent, PPI_NO_POSITION);
    for (;;) {
        if (ppi_claim(claimer, &start)) {
            if (!faults.no_passing_on)
                ppi_pass_on(claimer);
            run(start.position);
            world.idlers[claimer->index].tasks++;
        } else if (atomic_load(&queue.shm->command) >= PPI_FINISH) {
            return;
        } else {
            ppi_idle(&world.idlers[claimer->index], claimer);
        }
    }
}

static void start_worker(unsigned seat)
{
    ppi_claimer_init(&world.claimers[seat], &queue, seat);
    world.process[seat] = steps_add(work, &world.claimers[seat]);
}

/* ---- Death --------------------------------------------------------------- */

static void die_perhaps(void)
{
    unsigned seat = random_below(source, world.workers);

    if (world.deaths == 0 || world.over || !random_percent(source, 1) ||
        steps_state(world.process[seat]) >= STEPS_ENDED)
        return;
    world.deaths--;
    world.dead[seat] = true;
    steps_kill(world.process[seat]);
}

static void reap(unsigned seat)
{
    uint64_t position = atomic_load(&world.claimers[seat].seat->intent);

    world.dead[seat] = false;
    if (position != PPI_NO_POSITION && ppi_claimed_by(&queue, position, seat) &&
        atomic_load(&ended[position % PPI_WINDOW]) != position + 1)
        ppi_requeue(&queue, position, seat, 0, 1);
    ppi_forget_sleeper(&queue, seat);
    if (!faults.silent_reaper)
        ppi_wake_all(&queue);
    start_worker(seat);
}

static bool is_readable(void *waker)
{
    struct pollfd poller = { .fd = ((struct ppi_waker *)waker)->reader, .events = POLLIN };

    return poll(&poller, 1, 0) > 0;
}

static bool has_news(void *what)
{
    (void)what;
    if (is_readable(&queue.poke))
        return true;
    for (unsigned seat = 0; seat < world.workers; seat++)
        if (world.dead[seat])
            return true;
    return world.over;
}

static void supervise(void *what)
{
    (void)what;
    while (!world.over) {
        steps_await(has_news, NULL);
        ppi_waker_clear(&queue.poke);
        if (!faults.owes)
            ppi_ring_owed_event(&queue);
        for (unsigned seat = 0; seat < world.workers; seat++)
            if (world.dead[seat])
                reap(seat);
    }
}

/* ---- The client ---------------------------------------------------------- */

/* Takes note of what has ended; whether that was anything. */
static bool take_in(void)
{
    unsigned before = world.ended;

    for (unsigned slot = 0; slot < PPI_WINDOW; slot++)
        if (running[slot] != PPI_NO_POSITION &&
            atomic_load_explicit(&ended[slot], memory_order_acquire) == running[slot] + 1) {
            running[slot] = PPI_NO_POSITION;
            world.ended++;
        }
    return world.ended > before;
}

/* As pp_poll() ends, and the loop goes on. */
static void wait_in_loop(void)
{
    ppi_event_announce(&queue);
    if (take_in())
        ppi_ring_event(&queue);
    if (!is_readable(&queue.event))
        steps_await(is_readable, &queue.event);
}

static void wait_for_news(void)
{
    uint32_t bell;

    if (take_in())
        return;
    if (world.loops) {
        wait_in_loop();
        return;
    }
    bell = ppi_client_announce(&queue, PPI_ANYTHING);
    if (!take_in())
        ppi_client_sleep(&queue, bell, UINT64_MAX);
}

static void submit(uint64_t *tail, unsigned task)
{
    while (running[*tail % PPI_WINDOW] != PPI_NO_POSITION)
        ++*tail;
    running[*tail % PPI_WINDOW] = *tail;
    ppi_queue_slot(&queue, *tail)->args = task;
    ppi_publish(&queue, (*tail)++);
    ppi_ring(&queue);
}

static void be_client(void *what)
{
    uint64_t tail = *(uint64_t *)what;
    unsigned task = 0;

    while (task < world.tasks || world.ended < world.tasks) {
        bool pauses = random_percent(source, 20) && world.ended + world.endless < task;

        if (task == world.tasks || task - world.ended >= MOST_RUNNING || pauses)
            wait_for_news();
        else
            submit(&tail, task++);
    }
    world.over = true;
    atomic_store(&queue.shm->command, PPI_FINISH);
    ppi_wake_all(&queue);
}

/* ---- A schedule ---------------------------------------------------------- */

/* The event is not there for workers whose tasks have closed it. */
static bool signal_perhaps(const struct ppi_waker *waker)
{
    for (unsigned seat = 0; seat < world.workers; seat++)
        if (world.closed[seat] && steps_self() == (int)world.process[seat] &&
            waker->reader == queue.event.reader)
            return false;
    return steps_futex.signal(waker);
}

static void open_event(void)
{
    static struct ppi_futex_ops futex;

    futex = steps_futex;
    futex.signal = signal_perhaps;
    queue.futex = &futex;
    CHECK_EQ(ppi_waker_open(&queue.poke), 0);
    CHECK_EQ(ppi_waker_open(&queue.event), 0);
    world.loops = random_percent(source, 50);
    for (unsigned seat = 0; seat < world.workers; seat++)
        world.closed[seat] = random_percent(source, 20);
}

static void set_up(uint64_t *tail)
{
    CHECK_EQ(ppi_queue_create(&queue, MOST_WORKERS, KIB64, KIB64, KIB64), 0);
    memset(&world, 0, sizeof world);
    memset(running, 0xff, sizeof running);
    memset(ended, 0, sizeof ended);
    world.workers = 1 + random_below(source, MOST_WORKERS);
    open_event();
    atomic_store(&queue.shm->workers, world.workers);
    queue.cpus = 1 + random_below(source, MOST_WORKERS + 1);
    queue.spin_ns = random_percent(source, 70) ? PPI_SPIN_NS : 0;
    world.tasks = world.workers + random_below(source, MOST_TASKS - MOST_WORKERS);
    world.endless = random_below(source, world.workers);
    world.deaths = random_percent(source, 70) ? random_below(source, 6) : 0;
    *tail = random_below(source, 4 * PPI_WINDOW);
    atomic_store(&queue.shm->tail, *tail);
    atomic_store(&queue.claims->head, *tail);
}

/* Whether all ended; otherwise somebody sleeps for ever. */
static bool all_ended(void)
{
    if (steps_state(world.client) != STEPS_ENDED)
        return false;
    for (unsigned seat = 0; seat < world.workers; seat++)
        if (steps_state(world.process[seat]) < STEPS_ENDED)
            return false;
    return true;
}

static bool run_schedule(struct random *random)
{
    uint64_t tail;
    bool good;

    source = random;
    steps_begin(random);
    set_up(&tail);
    steps_lose_wakes(faults.lost_wakes);
    world.client = steps_add(be_client, &tail);
    steps_add(supervise, NULL);
    for (unsigned seat = 0; seat < world.workers; seat++)
        start_worker(seat);
    steps_at_each(die_perhaps);
    steps_run();
    good = all_ended();
    ppi_waker_close(&queue.poke);
    ppi_waker_close(&queue.event);
    ppi_queue_destroy(&queue);
    return good;
}

TEST(nobody_sleeps_while_there_is_work)
{
    FOR_ROUNDS(random, 8000)
        HOLDS(random, run_schedule(&random));
}

/* ---- What the schedules can see ------------------------------------------ */

static unsigned stuck_with(struct faults broken)
{
    unsigned stuck = 0;

    faults = broken;
    FOR_ROUNDS(random, 1000)
        stuck += !run_schedule(&random);
    return stuck;
}

TEST(a_lost_wake_is_noticed)
{
    CHECK(stuck_with((struct faults){ .lost_wakes = 20 }) > 0);
}

TEST(a_wake_that_dies_with_its_worker_is_noticed)
{
    CHECK(stuck_with((struct faults){ .silent_reaper = true }) > 0);
}

TEST(a_wake_that_is_not_passed_on_is_noticed)
{
    CHECK(stuck_with((struct faults){ .no_passing_on = true }) > 0);
}

TEST(an_event_that_is_owed_is_noticed)
{
    CHECK(stuck_with((struct faults){ .owes = true }) > 0);
}
