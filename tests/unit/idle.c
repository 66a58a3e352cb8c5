/* SPDX-License-Identifier: MIT */
/*
 * A worker without work: whether it searches, naps or sleeps, and what the others see of
 * it meanwhile.  The kernel is a fake with a clock and CPUs of its own.
 */
#include <errno.h>

#include "harness.h"
#include "queue/idle.h"
#include "queue/wake.h"

#define KIB64 ((size_t)1 << 16)

enum { WORKERS = 3, ME = 1 };

static struct ppi_queue queue;
static struct ppi_claimer claimer;
static struct ppi_idler idler;
static struct ppi_seat_shm own; /* in the place of its own */

/* What the fake kernel sees, and does when it is called. */
static struct {
    uint64_t time_ns, step_ns; /* by which each look at the clock moves it on */
    uint32_t cpu;
    unsigned looks; /* at the clock */
    unsigned naps, sleeps, wakes;
    void (*at_look)(void);
    void (*at_wait)(void);
} kernel;

static int fake_wait(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    CHECK(word == &queue.claims->bell);
    (void)value;
    *(deadline_ns == UINT64_MAX ? &kernel.sleeps : &kernel.naps) += 1;
    if (kernel.at_wait)
        kernel.at_wait();
    return 0;
}

static int fake_wake(_Atomic uint32_t *word, int count)
{
    (void)count;
    kernel.wakes += word == &queue.claims->bell;
    return 1;
}

static uint64_t fake_now(void)
{
    kernel.looks++;
    if (kernel.at_look)
        kernel.at_look();
    return kernel.time_ns += kernel.step_ns;
}

static uint32_t fake_cpu(void)
{
    return kernel.cpu;
}

static const struct ppi_futex_ops fake = {
    .wait = fake_wait, .wake = fake_wake, .now = fake_now, .cpu = fake_cpu
};

static void sleeps(unsigned seat)
{
    atomic_fetch_or(&queue.claims->sleepers[0], UINT64_C(1) << seat);
}

/* Three workers that are awake, the client on another CPU, and CPUs for all. */
static void set_up(void)
{
    CHECK_EQ(ppi_queue_create(&queue, WORKERS, KIB64, KIB64, KIB64), 0);
    queue.futex = &fake;
    atomic_store(&queue.shm->workers, WORKERS);
    queue.cpus = WORKERS + 1;
    queue.spin_ns = PPI_SPIN_NS;
    memset(&kernel, 0, sizeof kernel);
    kernel.time_ns = 1000000;
    kernel.step_ns = 500;
    kernel.cpu = 7;
    own.waiting = 0;
    ppi_claimer_init(&claimer, &queue, ME);
    claimer.seat = &own;
    memset(&idler, 0, sizeof idler);
    idler.since_ns = kernel.time_ns;
}

static void tear_down(void)
{
    CHECK_EQ(atomic_load(&queue.claims->waking), PPI_NOBODY);
    CHECK_EQ(atomic_load(&queue.claims->nappers[0]), 0);
    CHECK_EQ(atomic_load(&queue.claims->sleepers[0]) >> ME & 1, 0);
    ppi_queue_destroy(&queue);
}

static uint32_t waking(void)
{
    return atomic_load(&queue.claims->waking);
}

/* ---- Searching ---- */

static void publish_at_last(void)
{
    CHECK_EQ(waking(), PPI_SEARCHING + ME);
    if (kernel.looks < 3)
        return;
    sleeps(0);
    ppi_publish(&queue, 0);
    ppi_ring(&queue);
}

TEST(who_searches_finds_what_is_published_and_nobody_is_woken_for_it)
{
    set_up();
    kernel.at_look = publish_at_last;
    ppi_idle(&idler, &claimer);
    CHECK(ppi_claimable(&claimer));
    CHECK_EQ(kernel.wakes, 0);
    CHECK_EQ(kernel.sleeps + kernel.naps, 0);
    tear_down();
}

TEST(a_search_in_vain_ends_and_is_not_tried_again_at_once)
{
    set_up();
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.sleeps, 1);
    CHECK(kernel.time_ns >= 1000000 + PPI_SPIN_NS);
    CHECK(kernel.time_ns <= 1000000 + PPI_SPIN_NS + 10 * kernel.step_ns);
    kernel.looks = 0;
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.sleeps, 2);
    CHECK(kernel.looks <= 2); /* before the sleep and after it */
    tear_down();
}

TEST(a_search_ends_when_somebody_else_needs_the_cpu)
{
    set_up();
    kernel.step_ns = 15000; /* less than PPI_SPIN_NS, but much for a few looks */
    ppi_idle(&idler, &claimer);
    CHECK(kernel.looks <= 3);
    CHECK_EQ(kernel.sleeps, 1);
    tear_down();
}

static void check_no_search(void)
{
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.sleeps, 1);
    CHECK(kernel.looks <= 2);
    CHECK_EQ(kernel.wakes, 0);
    tear_down();
}

TEST(no_search_without_a_cpu_for_everybody)
{
    set_up();
    queue.cpus = WORKERS;
    check_no_search();
    set_up();
    queue.cpus = WORKERS;
    sleeps(0); /* now there is one */
    ppi_idle(&idler, &claimer);
    CHECK(kernel.looks > 10);
    tear_down();
}

TEST(no_search_on_the_client_s_cpu)
{
    set_up();
    atomic_store(&queue.shm->client_cpu, kernel.cpu);
    check_no_search();
}

TEST(no_search_while_another_searches)
{
    set_up();
    atomic_store(&queue.claims->waking, PPI_SEARCHING + 2);
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.sleeps, 1);
    CHECK(kernel.looks <= 2);
    CHECK_EQ(waking(), PPI_SEARCHING + 2); /* that is not ours to clear */
    atomic_store(&queue.claims->waking, PPI_NOBODY);
    tear_down();
}

TEST(nothing_of_it_when_spinning_is_off)
{
    set_up();
    queue.spin_ns = 0;
    idler.tasks = 1000;
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.sleeps, 1);
    CHECK_EQ(kernel.looks, 2); /* around the sleep: how long it was */
    tear_down();
}

/* ---- Napping ---- */

/* A worker that has run so many tasks in so much time, and may not search. */
static void set_up_for_nap(uint64_t tasks, uint64_t busy_ns)
{
    set_up();
    queue.cpus = 1;
    idler.tasks = tasks;
    kernel.time_ns = idler.since_ns + busy_ns;
}

static void check_nap(unsigned naps)
{
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.naps, naps);
    CHECK_EQ(kernel.sleeps, 1 - naps);
    CHECK_EQ(idler.tasks, 0);
    CHECK_EQ(idler.since_ns, kernel.time_ns);
    tear_down();
}

TEST(a_nap_after_tiny_tasks)
{
    set_up_for_nap(10, 9 * PPI_TINY_NS);
    check_nap(1);
}

TEST(no_nap_after_longer_ones)
{
    set_up_for_nap(10, 11 * PPI_TINY_NS);
    check_nap(0);
}

TEST(no_nap_after_none)
{
    set_up_for_nap(0, 0);
    check_nap(0);
}

TEST(no_nap_when_all_others_sleep_or_nap)
{
    set_up_for_nap(10, 0);
    sleeps(0);
    check_nap(1);
    set_up_for_nap(10, 0);
    sleeps(0);
    sleeps(2);
    check_nap(0);
    set_up_for_nap(10, 0);
    sleeps(0);
    atomic_store(&queue.claims->nappers[0], UINT64_C(1) << 2);
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.sleeps, 1);
    atomic_store(&queue.claims->nappers[0], 0);
    tear_down();
}

/* The wake-up for a sleeper hits the one that naps. */
static void ring_for_another(void)
{
    CHECK_EQ(atomic_load(&queue.claims->nappers[0]), UINT64_C(1) << ME);
    sleeps(0);
    ppi_publish(&queue, 0);
    ppi_ring(&queue);
    CHECK_EQ(waking(), PPI_WOKEN);
}

TEST(who_is_woken_from_a_nap_lets_others_be_woken)
{
    set_up_for_nap(10, 0);
    kernel.at_wait = ring_for_another;
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.naps, 1);
    CHECK_EQ(kernel.wakes, 1);
    CHECK_EQ(waking(), PPI_NOBODY);
    ppi_ring(&queue);
    CHECK_EQ(kernel.wakes, 2);
    atomic_store(&queue.claims->waking, PPI_NOBODY);
    tear_down();
}

/* ---- Counting time ---- */

static uint64_t seen_waiting;

/* What others see while it sleeps. */
static void look_while_it_sleeps(void)
{
    seen_waiting = own.waiting;
    kernel.time_ns += 1000000;
}

TEST(the_time_of_a_sleep_counts)
{
    uint64_t begin;

    set_up();
    queue.spin_ns = 0;
    idler.waited_ns = 5000;
    begin = kernel.time_ns + kernel.step_ns;
    kernel.at_wait = look_while_it_sleeps;
    ppi_idle(&idler, &claimer);
    CHECK_EQ(seen_waiting, PPI_WAITS | (begin - 5000));
    CHECK_EQ(own.waiting, 5000 + 1000000 + kernel.step_ns);
    ppi_idle(&idler, &claimer);
    CHECK_EQ(own.waiting, 5000 + 2 * (1000000 + kernel.step_ns));
    tear_down();
}

/* So does that of the search before it ... */
TEST(the_time_of_a_search_in_vain_counts)
{
    uint64_t begin;

    set_up();
    begin = kernel.time_ns;
    kernel.at_wait = look_while_it_sleeps;
    ppi_idle(&idler, &claimer);
    CHECK_EQ(seen_waiting, PPI_WAITS | (begin + kernel.step_ns));
    CHECK_EQ(own.waiting, kernel.time_ns - begin - kernel.step_ns);
    tear_down();
}

TEST(a_search_that_finds_something_at_once_costs_no_look_at_the_clock)
{
    set_up();
    ppi_publish(&queue, 0);
    atomic_store(&queue.shm->client_cpu, kernel.cpu + 1); /* which was not us */
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.sleeps + kernel.naps, 0);
    CHECK_EQ(kernel.looks, 0);
    CHECK_EQ(own.waiting, 0);
    tear_down();
}

/* ... and of one that finds something later, from the first look at the clock to the last. */
TEST(the_time_of_a_search_counts)
{
    set_up();
    kernel.at_look = publish_at_last;
    ppi_idle(&idler, &claimer);
    CHECK_EQ(kernel.looks, 3);
    CHECK_EQ(own.waiting, 2 * kernel.step_ns);
    tear_down();
}
