/* SPDX-License-Identifier: MIT */
#ifndef PPI_WORKER_WORKER_H
#define PPI_WORKER_WORKER_H

#include <procpool.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>

#include "queue/claims.h"
#include "queue/heritage.h"
#include "queue/idle.h"
#include "queue/seat.h"

/* What a worker is doing: decides where pp_raise() goes to. */
enum ppi_activity { PPI_BETWEEN, PPI_INITIALIZING, PPI_IN_TASK, PPI_IN_FINALIZER };

/* A worker; private to it. */
struct ppi_worker {
    struct ppi_seat seat;
    struct ppi_claimer claimer;
    struct ppi_idler idler;
    pid_t pid; /* a child that a task forks is not a worker */
    struct ppi_worker *outer; /* inline: whose task this one's runs inside of, or NULL */
    uint32_t id, life; /* it is number so many of the workers of this id, from 1 on */
    uint64_t seed;
    void *local; /* the user's */
    bool limited;
    uint64_t left; /* items until it retires, if limited */
    uint64_t tasks, items; /* until now */

    /* The running task.  Items [run_first, item) are done, and neither committed
       nor counted; their results lie at out. */
    const struct ppi_slot_shm *slot; /* another task's as soon as the last item is committed */
    bool timed; /* its items have a time limit */
    uint64_t position;
    uint64_t item;
    uint64_t stop; /* before the end of the chunk when the worker retires there */
    uint64_t run_first, run_end;
    uint64_t first;   /* item that this worker began with ... */
    uint32_t attempt; /* ... and which attempt at it that is */
    const _Atomic uint64_t *cancel; /* its cancel word */
    char *out;
    _Alignas(16) unsigned char value[PPI_INLINE_VALUE]; /* out for a single small result */

    enum ppi_activity activity;
    sigset_t mask; /* of signals, when the initializer had returned */
    jmp_buf raised;
    int code;
    char message[PPI_MESSAGE_SIZE];
};

/* The worker that this thread is, or NULL. */
extern _Thread_local struct ppi_worker *ppi_current_worker;

/* Binds a worker to its seat; does not run anything yet. */
void ppi_worker_init(struct ppi_worker *worker, struct ppi_queue *queue, unsigned seat,
                     uint32_t incarnation, uint64_t max_items);

/* Runs tasks until the worker is to retire.  Tests call it in a thread. */
void ppi_worker_loop(struct ppi_worker *worker);

/* Runs a claimed task and commits its outcomes. */
void ppi_run_task(struct ppi_worker *worker, const struct ppi_start *start);

/* ---- crash.c: the last words of a worker that crashes ---- */

/*
 * From now on a crash of this process is described in its worker's seat.  The stack is of
 * interest up to its end, a frame's address; libc_words: where libc keeps why it aborts, or
 * NULL.
 */
void ppi_watch_for_crashes(const struct ppi_worker *worker, const void *stack_end,
                           const void *const *libc_words);

/* ---- stop.c: the worker's part of stopping a task ---- */

/*
 * Waits while the supervisor is about to stop what this worker has run before: what
 * comes next must not be hit.  The caller has stored what it goes on to, and fenced.
 */
void ppi_wait_while_stopped(struct ppi_worker *worker);

/* Before it sleeps: a SIGTERM that was meant for its last task has not killed the worker. */
void ppi_answer_stop(const struct ppi_worker *worker);

/* Whether it would wait. */
bool ppi_is_stopped(const struct ppi_worker *worker);

/*
 * Before the pool's finalizer: there are no more tasks, so that nothing that was about to be
 * stopped is hit in their place; and the supervisor sees to it that this one ends.
 */
void ppi_begin_finalizer(struct ppi_worker *worker);

/* The time limit of the next item begins, and ends. */
void ppi_begin_limit(struct ppi_worker *worker);
void ppi_end_limit(struct ppi_worker *worker);

#endif
