/* SPDX-License-Identifier: MIT */
/*
 * ring.h - a queue for any number of producers and consumers in shared memory: each cell, on
 * a cache line of its own, has a turn that says who may use it next.  Who waits for work
 * sleeps on a bell, and at most one wake is on its way.
 */
#ifndef BENCH_BARE_RING_H
#define BENCH_BARE_RING_H

#include "harness/futex.h"

#include <stdbool.h>
#include <stddef.h>

enum { RING_CELLS = 4096, CACHE_LINE = 64 };

struct work {
    uint64_t kind;
    uint64_t argument;
    long from, to;
};

struct cell {
    _Alignas(CACHE_LINE) _Atomic uint64_t turn;
    struct work work;
};

struct ring {
    _Alignas(CACHE_LINE) _Atomic uint64_t tail;
    _Alignas(CACHE_LINE) _Atomic uint64_t head;
    _Alignas(CACHE_LINE) _Atomic uint32_t bell;
    _Alignas(CACHE_LINE) _Atomic uint32_t sleepers;
    _Alignas(CACHE_LINE) _Atomic uint32_t waking;
    struct cell cells[RING_CELLS];
};

void ring_init(struct ring *ring);

/* False when it is full, or empty. */
bool ring_push(struct ring *ring, const struct work *work);
size_t ring_pop(struct ring *ring, struct work *works, size_t max);
bool ring_is_empty(struct ring *ring);

/* After a push: wakes a sleeper unless one is being woken. */
void ring_wake(struct ring *ring);

/* Sleeps until there is something, it spins so long before, or *stop is set. */
void ring_wait(struct ring *ring, uint64_t spin_ns, const _Atomic uint32_t *stop);

#endif
