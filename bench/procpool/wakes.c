/* SPDX-License-Identifier: MIT */
/*
 * wakes: how often a task makes a process enter the kernel in apply_async.  The library calls
 * the kernel's futexes through syscall(), which is replaced here for all workloads of this
 * program: one more call of a function for each that enters the kernel.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pool.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of all processes of the pool. */
static struct counts {
    _Atomic long wakes, waits;
} *counts;

static void count_futex(long operation)
{
    switch (operation & FUTEX_CMD_MASK) {
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
    case FUTEX_WAKE_OP:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        atomic_fetch_add_explicit(&counts->wakes, 1, memory_order_relaxed);
        break;
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        atomic_fetch_add_explicit(&counts->waits, 1, memory_order_relaxed);
    }
}

static void count(long number, long operation)
{
    if (number == SYS_futex)
        count_futex(operation);
#ifdef SYS_futex_waitv
    if (number == SYS_futex_waitv)
        atomic_fetch_add_explicit(&counts->waits, 1, memory_order_relaxed);
#endif
}

static long (*next_syscall)(long number, ...);

__attribute__((constructor)) static void find_syscall(void)
{
    *(void **)&next_syscall = dlsym(RTLD_NEXT, "syscall");
    bench_check(next_syscall != NULL, "the C library has no syscall()");
}

/* Hands on as many arguments as there can be: those that were not given do not matter. */
__attribute__((no_sanitize_address)) long syscall(long number, ...)
{
    long arguments[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (counts)
        count(number, arguments[1]);
    return next_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
                        arguments[4], arguments[5]);
}

static void run_all(pp_pool *pool, pp_result **results, size_t calls)
{
    for (size_t i = 0; i < calls; i++)
        results[i] = pp_apply_async(pool, PP_CALL(bench_square, (long)i));
    for (size_t i = 0; i < calls; i++) {
        long x = (long)i, value = -1;

        bench_check(pp_get(results[i], &value) == 0 && value == x * x, "wakes: wrong result");
        pp_result_free(results[i]);
    }
}

BENCH_WORKLOAD(wakes)
{
    size_t calls = bench_count(200000, scale);
    pp_result **results = bench_alloc(calls * sizeof *results);

    counts = bench_shared(sizeof *counts);

    pp_pool *pool = warm_pool();

    run_all(pool, results, calls); /* the first of a pool brings pages and sizes */

    long wakes = atomic_exchange(&counts->wakes, 0);
    long waits = atomic_exchange(&counts->waits, 0);

    bench_check(wakes > 0 && waits > 0, "wakes: the pool's calls cannot be seen");
    run_all(pool, results, calls);
    bench_report("wakes_per_task", (double)atomic_load(&counts->wakes) / (double)calls, "x");
    bench_report("waits_per_task", (double)atomic_load(&counts->waits) / (double)calls, "x");
    stop_pool(pool);
    free(results);
}
