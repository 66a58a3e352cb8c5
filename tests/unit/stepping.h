/* SPDX-License-Identifier: MIT */
/*
 * stepping.h - makes every atomic operation a step of steps.c's schedules
 *
 * Included before all else by tests of schedules, and, by the compiler's -include,
 * by the copy of the library's own sources that these tests are linked with.  The
 * tables become tiny, so that a few tasks are enough to use slots again and to fill
 * rings.
 */
#ifndef TESTS_UNIT_STEPPING_H
#define TESTS_UNIT_STEPPING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/layout.h"

#undef PPI_WINDOW
#undef PPI_RECORDS
#define PPI_WINDOW UINT64_C(8)
#define PPI_RECORDS UINT64_C(4)

uint64_t stepping_load(const volatile void *place, size_t size, int order);
void stepping_store(volatile void *place, size_t size, uint64_t value);
void stepping_fence(int order);
void stepping_before_change(void);

/* What an atomic object holds: its type without _Atomic and qualifiers. */
#define STEPPING_TYPE(place) __typeof__((void)0, *(place))

/* An operation that reads and writes; the plain one of the compiler. */
#define STEPPING_CHANGE(operation, place, ...)                                             \
    (stepping_before_change(), operation((STEPPING_TYPE(place) *)(place), __VA_ARGS__))

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_or
#undef atomic_fetch_and
#undef atomic_thread_fence

#define atomic_load_explicit(place, order)                                                 \
    ((STEPPING_TYPE(place))stepping_load((place), sizeof *(place), (int)(order)))
#define atomic_load(place) atomic_load_explicit(place, memory_order_seq_cst)
#define atomic_store_explicit(place, value, order)                                         \
    stepping_store((place), sizeof *(place), (uint64_t)(value))
#define atomic_store(place, value) atomic_store_explicit(place, value, memory_order_seq_cst)
#define atomic_exchange(place, value)                                                      \
    STEPPING_CHANGE(__atomic_exchange_n, place, (value), __ATOMIC_SEQ_CST)
#define atomic_compare_exchange_strong(place, expected, value)                             \
    STEPPING_CHANGE(__atomic_compare_exchange_n, place, (expected), (value), false,        \
                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define atomic_compare_exchange_strong_explicit(place, expected, value, yes, no)           \
    atomic_compare_exchange_strong(place, expected, value)
#define atomic_fetch_add(place, value)                                                     \
    STEPPING_CHANGE(__atomic_fetch_add, place, (value), __ATOMIC_SEQ_CST)
#define atomic_fetch_add_explicit(place, value, order) atomic_fetch_add(place, value)
#define atomic_fetch_or(place, value)                                                      \
    STEPPING_CHANGE(__atomic_fetch_or, place, (value), __ATOMIC_SEQ_CST)
#define atomic_fetch_and(place, value)                                                     \
    STEPPING_CHANGE(__atomic_fetch_and, place, (value), __ATOMIC_SEQ_CST)
#define atomic_thread_fence(order) stepping_fence((int)(order))

#endif
