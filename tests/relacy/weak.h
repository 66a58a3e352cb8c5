/* SPDX-License-Identifier: MIT */
/*
 * weak.h - every atomic operation of the library goes to relacy's memory
 *
 * Included before all else, by the compiler's -include, by the copy of the library's own
 * sources that the models are linked with, and by these.  What a load returns is then any
 * value that C11's memory model allows at this place, in this thread, with this order.  All
 * tables become tiny.
 */
#ifndef TESTS_RELACY_WEAK_H
#define TESTS_RELACY_WEAK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "queue/layout.h"

#include "memory.h"

#undef PPI_WINDOW
#undef PPI_RECORDS
#undef PPI_PRESSING
#define PPI_WINDOW UINT64_C(2)
#define PPI_RECORDS UINT64_C(2)
#define PPI_PRESSING UINT64_C(1000)

#define WEAK_TYPE(place) __typeof__((void)0, *(place))
#define WEAK_AT __FILE__, __func__, __LINE__
#define WEAK_CHANGE(place, change, value, order)                                           \
    ((WEAK_TYPE(place))weak_change((place), sizeof *(place), (change), (uint64_t)(value),  \
                                   (int)(order), WEAK_AT))
/* The expected value may be of either size: a copy in between. */
#define WEAK_SWAP(place, expected, value, yes, no)                                         \
    (__extension__({                                                                       \
        uint64_t weak_expected_ = *(expected);                                             \
        bool weak_done_ = weak_swap((place), sizeof *(place), &weak_expected_,             \
                                    (uint64_t)(value), (int)(yes), (int)(no), WEAK_AT);    \
        *(expected) = (WEAK_TYPE(place))weak_expected_;                                    \
        weak_done_;                                                                        \
    }))

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_or
#undef atomic_fetch_and
#undef atomic_thread_fence

#define atomic_load_explicit(place, order)                                                 \
    ((WEAK_TYPE(place))weak_load((place), sizeof *(place), (int)(order), WEAK_AT))
#define atomic_load(place) atomic_load_explicit(place, memory_order_seq_cst)
#define atomic_store_explicit(place, value, order)                                         \
    weak_store((place), sizeof *(place), (uint64_t)(value), (int)(order), WEAK_AT)
#define atomic_store(place, value) atomic_store_explicit(place, value, memory_order_seq_cst)
#define atomic_exchange(place, value)                                                      \
    WEAK_CHANGE(place, WEAK_EXCHANGE, value, memory_order_seq_cst)
#define atomic_fetch_add_explicit(place, value, order)                                     \
    WEAK_CHANGE(place, WEAK_ADD, value, order)
#define atomic_fetch_add(place, value)                                                     \
    WEAK_CHANGE(place, WEAK_ADD, value, memory_order_seq_cst)
#define atomic_fetch_or(place, value) WEAK_CHANGE(place, WEAK_OR, value, memory_order_seq_cst)
#define atomic_fetch_and(place, value)                                                     \
    WEAK_CHANGE(place, WEAK_AND, value, memory_order_seq_cst)
#define atomic_compare_exchange_strong_explicit(place, expected, value, yes, no)           \
    WEAK_SWAP(place, expected, value, yes, no)
#define atomic_compare_exchange_strong(place, expected, value)                             \
    WEAK_SWAP(place, expected, value, memory_order_seq_cst, memory_order_seq_cst)
#define atomic_compare_exchange_weak(place, expected, value)                               \
    atomic_compare_exchange_strong(place, expected, value)
#define atomic_thread_fence(order) weak_fence((int)(order), WEAK_AT)

/* From here on this is a machine of which nothing is known but C11: see
   fence_after_change() in src/queue/wake.c. */
#undef __x86_64__
#undef __i386__

#endif
