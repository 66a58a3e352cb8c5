/* SPDX-License-Identifier: MIT */
#include "base/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* Linux 5.16; older headers do not have them. */
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#define FUTEX_32_BITS 2

struct waiter {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

static int kernel_wait(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    struct timespec deadline = ppi_timespec(deadline_ns);
    long woken = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value,
                         deadline_ns == PPI_NEVER ? NULL : &deadline, NULL,
                         FUTEX_BITSET_MATCH_ANY);

    return woken < 0 ? -errno : 0;
}

/* For kernels that can wait for one word only: looks at the other in between. */
static int wait_in_slices(const _Atomic uint32_t *word, uint32_t value,
                          const _Atomic uint32_t *other, uint32_t other_value,
                          uint64_t deadline_ns)
{
    uint64_t slice = ppi_now_ns() + 250 * PPI_MS;
    int error;

    if (atomic_load(other) != other_value)
        return -EAGAIN;
    error = kernel_wait(word, value, slice < deadline_ns ? slice : deadline_ns);
    return error == -ETIMEDOUT && slice < deadline_ns ? 0 : error;
}

static int kernel_wait_either(const _Atomic uint32_t *word, uint32_t value,
                              const _Atomic uint32_t *other, uint32_t other_value,
                              const _Atomic uint32_t *hint, uint64_t deadline_ns)
{
    static atomic_bool missing; /* in this kernel */
    struct timespec deadline = ppi_timespec(deadline_ns);
    struct waiter waiters[] = {
        { .value = value, .address = (uintptr_t)word, .flags = FUTEX_32_BITS },
        { .value = other_value, .address = (uintptr_t)other, .flags = FUTEX_32_BITS },
        { .value = 0, .address = (uintptr_t)hint, .flags = FUTEX_32_BITS },
    };
    long woken;

    if (atomic_load_explicit(&missing, memory_order_relaxed))
        return wait_in_slices(word, value, other, other_value, deadline_ns);
    woken = syscall(SYS_futex_waitv, waiters, 3, 0,
                    deadline_ns == PPI_NEVER ? NULL : &deadline, CLOCK_MONOTONIC);
    if (woken < 0 && (errno == ENOSYS || errno == EPERM)) {
        atomic_store_explicit(&missing, true, memory_order_relaxed);
        return wait_in_slices(word, value, other, other_value, deadline_ns);
    }
    return woken < 0 ? -errno : woken == 2 ? PPI_HINTED : 0;
}

static int kernel_wake(_Atomic uint32_t *word, int count)
{
    long woken = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);

    return woken < 0 ? 0 : (int)woken;
}

static uint32_t current_cpu(void)
{
    return (uint32_t)sched_getcpu();
}

const struct ppi_futex_ops ppi_futex = {
    .wait = kernel_wait,
    .wait_either = kernel_wait_either,
    .wake = kernel_wake,
    .signal = ppi_waker_signal,
    .now = ppi_now_ns,
    .cpu = current_cpu,
};
