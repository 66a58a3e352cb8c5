/* SPDX-License-Identifier: MIT */
/*
 * steps.h - schedules: the processes of a pool as coroutines of one thread
 *
 * Between any two atomic operations of one of them another may go on, die, or be
 * woken; the seed decides.  When all of them sleep or have ended, steps_run()
 * returns, and the test looks whether that is how it should be: a wake-up that was
 * lost leaves somebody asleep for good, and is found at once.
 *
 * Memory is as weak as C11 lets it be in one respect, which is that of all common
 * machines: a store may stay in its process's own buffer for a while, where later
 * loads by the others do not see it.  Buffers are written back in their order, at
 * the latest by a fence, an operation that reads and writes, a call of the kernel
 * or death.  A fence that is missing between a store and a load is thus found, too.
 *
 * A test that uses this includes stepping.h first.
 */
#ifndef TESTS_UNIT_STEPS_H
#define TESTS_UNIT_STEPS_H

#include "base/futex.h"
#include "rounds.h"

enum steps_state {
    STEPS_READY,
    STEPS_ASLEEP,   /* in a futex */
    STEPS_WATCHING, /* in steps_await() */
    STEPS_ENDED,
    STEPS_KILLED,
    STEPS_FORGOTTEN,
};

/* Begins a schedule: no processes yet.  What goes on is drawn from random. */
void steps_begin(struct random *random);

/* Adds a process that runs main(what); returns its number. */
unsigned steps_add(void (*main)(void *what), void *what);

/* A pointer of which each process has its own, as if it were a global variable. */
void steps_own(void **variable);

/* Runs until no process can go on. */
void steps_run(void);

enum steps_state steps_state(unsigned process);

/* The number of the process that calls, or -1 outside of all. */
int steps_self(void);

/* In a process: lets the others go on, perhaps.  Outside: does nothing. */
void steps_yield(void);

/* In a process: what any call of the kernel does beside: its stores are seen by all. */
void steps_enter_kernel(void);

/* In a process: goes on when ready() holds, which only the kernel could notice. */
void steps_await(bool (*ready)(void *what), void *what);

/* Ends a process, at whatever step it is; also the calling one. */
void steps_kill(unsigned process);

/* Of a process that has ended: its number will be given to another. */
void steps_forget(unsigned process);

/* Called at each step, in the process that is about to make it. */
void steps_at_each(void (*hook)(void));

/* The kernel's part, for struct ppi_queue.  Sleeps also end by a signal sometimes. */
extern const struct ppi_futex_ops steps_futex;

/* From now on so many percent of the wake-ups are lost: tests must notice it. */
void steps_lose_wakes(unsigned percent);

#endif
