/* SPDX-License-Identifier: MIT */
/*
 * Sleeping on a word of shared memory, and waking who sleeps elsewhere.
 *
 * The calls stand behind a table, so that tests can put fakes in the place of
 * the kernel and try every order of sleeping and waking.
 */
#ifndef PPI_BASE_FUTEX_H
#define PPI_BASE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/waker.h"

struct ppi_futex_ops {
    /*
     * Sleeps while *word is value, at most until the deadline (PPI_NEVER: no
     * limit).  Returns 0 when woken, or -EAGAIN (*word was another already),
     * -ETIMEDOUT, -EINTR.  Callers look at the state of things again in any case.
     */
    int (*wait)(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns);

    /*
     * The same for two words: ends when either changes or is woken.  On kernels
     * before 5.16 it may also return 0 for no reason, every quarter of a second.
     * On others it returns PPI_HINTED when hint, a word that is always 0, was woken.
     */
    int (*wait_either)(const _Atomic uint32_t *word, uint32_t value,
                       const _Atomic uint32_t *other, uint32_t other_value,
                       const _Atomic uint32_t *hint, uint64_t deadline_ns);

    /* Wakes at most count sleepers; returns how many it were. */
    int (*wake)(_Atomic uint32_t *word, int count);

    /* Wakes who waits for a descriptor: as ppi_waker_signal(). */
    bool (*signal)(const struct ppi_waker *waker);

    /* For those who wait awake: the time, as ppi_now_ns(), and the CPU of this thread. */
    uint64_t (*now)(void);
    uint32_t (*cpu)(void);
};

/* The kernel's. */
extern const struct ppi_futex_ops ppi_futex;

#define PPI_ALL 0x7fffffff
#define PPI_HINTED 1

#endif
