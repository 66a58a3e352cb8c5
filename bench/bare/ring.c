/* SPDX-License-Identifier: MIT */
/* See ring.h. */
#include "ring.h"

#include "harness/bench.h"

static struct cell *cell_at(struct ring *ring, uint64_t position)
{
    return &ring->cells[position % RING_CELLS];
}

/* Above 0 when another has been there already, below when it is not yet its turn. */
static int64_t turn_minus(struct cell *cell, uint64_t turn)
{
    return (int64_t)(atomic_load_explicit(&cell->turn, memory_order_acquire) - turn);
}

void ring_init(struct ring *ring)
{
    for (uint64_t i = 0; i < RING_CELLS; i++)
        ring->cells[i].turn = i;
}

bool ring_push(struct ring *ring, const struct work *work)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    for (;;) {
        struct cell *cell = cell_at(ring, tail);
        int64_t turn = turn_minus(cell, tail);

        if (turn < 0)
            return false;
        if (turn > 0) {
            tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&ring->tail, &tail, tail + 1,
                                                         memory_order_relaxed,
                                                         memory_order_relaxed)) {
            cell->work = *work;
            atomic_store_explicit(&cell->turn, tail + 1, memory_order_release);
            return true;
        }
    }
}

static size_t count_filled(struct ring *ring, uint64_t head, size_t max)
{
    size_t count = 0;

    while (count < max && turn_minus(cell_at(ring, head + count), head + count + 1) == 0)
        count++;
    return count;
}

static void take(struct ring *ring, uint64_t head, struct work *works, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct cell *cell = cell_at(ring, head + i);

        works[i] = cell->work;
        atomic_store_explicit(&cell->turn, head + i + RING_CELLS, memory_order_release);
    }
}

size_t ring_pop(struct ring *ring, struct work *works, size_t max)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    for (;;) {
        size_t count = count_filled(ring, head, max);

        if (count == 0) {
            if (turn_minus(cell_at(ring, head), head + 1) < 0)
                return 0;
            head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&ring->head, &head, head + count,
                                                         memory_order_relaxed,
                                                         memory_order_relaxed)) {
            take(ring, head, works, count);
            return count;
        }
    }
}

bool ring_is_empty(struct ring *ring)
{
    uint64_t head = atomic_load(&ring->head);

    return turn_minus(cell_at(ring, head), head + 1) < 0;
}

void ring_wake(struct ring *ring)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&ring->sleepers, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&ring->waking, memory_order_relaxed) != 0 ||
        atomic_exchange(&ring->waking, 1) != 0)
        return;
    atomic_fetch_add(&ring->bell, 1);
    if (futex_wake(&ring->bell, 1) < 1)
        atomic_store(&ring->waking, 0);
}

static bool spin(struct ring *ring, uint64_t spin_ns)
{
    uint64_t end_ns = spin_ns ? bench_now_ns() + spin_ns : 0;

    while (end_ns && bench_now_ns() < end_ns)
        for (int i = 0; i < 16; i++) {
            if (!ring_is_empty(ring))
                return true;
            spin_once();
        }
    return false;
}

void ring_wait(struct ring *ring, uint64_t spin_ns, const _Atomic uint32_t *stop)
{
    bool woken = false;

    if (spin(ring, spin_ns))
        return;

    uint32_t bell = atomic_load(&ring->bell);

    atomic_fetch_add(&ring->sleepers, 1);
    if (ring_is_empty(ring) && !atomic_load(stop))
        woken = futex_wait(&ring->bell, bell) == 0;
    atomic_fetch_sub(&ring->sleepers, 1);
    if (!woken)
        return;
    atomic_store(&ring->waking, 0);
    if (atomic_load_explicit(&ring->tail, memory_order_relaxed) -
            atomic_load_explicit(&ring->head, memory_order_relaxed) > 1)
        ring_wake(ring); /* there is work for another one */
}
