/* SPDX-License-Identifier: MIT */
#include "queue/spin.h"

/* Looks between two readings of the clock, which cost as much as two of them. */
#define LOOKS 16

/* Between two readings less than this goes by, unless somebody else had the CPU. */
#define PREEMPTED_NS UINT64_C(10000)

/* One wait in so many is tried when it never pays. */
#define MOST_FAILURES 4

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

bool ppi_spin_pays(struct ppi_spin *spin)
{
    if (spin->skip == 0)
        return true;
    spin->skip--;
    return false;
}

static void fail(struct ppi_spin *spin, unsigned weight)
{
    spin->failures += weight;
    if (spin->failures > MOST_FAILURES)
        spin->failures = MOST_FAILURES;
    spin->skip = (1u << spin->failures) - 1;
}

bool ppi_spin_for(struct ppi_spin *spin, const struct ppi_queue *queue,
                  bool (*news)(const void *what), const void *what)
{
    uint64_t before = 0, now;

    spin->from_ns = spin->to_ns = 0;
    for (;;) {
        for (int look = 0; look < LOOKS; look++) {
            if (news(what)) {
                spin->failures = 0;
                spin->to_ns = before;
                return true;
            }
            relax();
        }
        now = queue->futex->now();
        if (before == 0)
            spin->from_ns = before = now;
        if (now - before > PREEMPTED_NS) {
            fail(spin, 2);
            return false;
        }
        if (now - spin->from_ns > queue->spin_ns) {
            fail(spin, 1);
            return false;
        }
        before = now;
    }
}

/* Workers [64 * i, 64 * i + 64) that are not. */
static uint64_t resting(const struct ppi_claims_shm *claims, unsigned i)
{
    return atomic_load_explicit(&claims->sleepers[i], memory_order_relaxed) |
           atomic_load_explicit(&claims->nappers[i], memory_order_relaxed);
}

unsigned ppi_awake(const struct ppi_queue *queue)
{
    unsigned count = 0, workers = ppi_queue_workers(queue);

    for (unsigned i = 0; i < (queue->seats + 63) / 64; i++)
        count += (unsigned)__builtin_popcountll(resting(queue->claims, i));
    return count < workers ? workers - count : 0;
}

bool ppi_awake_elsewhere(const struct ppi_queue *queue, uint32_t cpu)
{
    unsigned end = atomic_load_explicit(&queue->control->seats_end, memory_order_relaxed);
    bool any = false;

    for (unsigned seat = 0; seat < end && seat < queue->seats; seat++) {
        if (resting(queue->claims, seat / 64) >> seat % 64 & 1 ||
            atomic_load_explicit(&queue->control->seats[seat].state, memory_order_relaxed) !=
                PPI_LIVE)
            continue;
        any = true;
        if (atomic_load_explicit(&ppi_queue_seat(queue, seat)->cpu, memory_order_relaxed) != cpu)
            return true;
    }
    return !any; /* one is being woken */
}
