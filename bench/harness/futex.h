/* SPDX-License-Identifier: MIT */
/* futex.h - sleeping and waking between processes */
#ifndef BENCH_HARNESS_FUTEX_H
#define BENCH_HARNESS_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns 0 when it slept and was woken. */
static inline long futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    return syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

/* Returns how many it woke. */
static inline long futex_wake(_Atomic uint32_t *word, int count)
{
    return syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

static inline void spin_once(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb");
#endif
}

#endif
