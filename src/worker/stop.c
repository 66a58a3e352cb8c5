/* SPDX-License-Identifier: MIT */
/*
 * The worker's part of stopping a task at its time limit, or because it is cancelled.
 *
 * The supervisor sets the stop flag, fences, looks whether what is to be stopped is
 * still running, and only then kills.  The worker stores that it goes on, fences, and
 * looks at the flag before it begins anything: either it sees the flag and waits, or the
 * supervisor sees that there is nothing to stop.  A kill can hit a worker that waits
 * here, but never another task or item.
 *
 * After a SIGTERM the supervisor does not know whether the worker dies of it, even when
 * the item is over.  It lets the worker go on when that has said that it has survived.
 *
 * A worker whose own task is cancelled does not wait: it would be for the end of the stop
 * of that very task, and begins nothing of it any more.  It waits before the next one.
 */
#include <signal.h>

#include "base/clock.h"
#include "base/point.h"
#include "queue/wake.h"
#include "worker/worker.h"

/*
 * A SIGTERM was sent.  Whoever returns from a call of the kernel after that has survived
 * it; one that is blocked must not arrive later, and its handler's mask not stay.
 */
static void survive_sigterm(const struct ppi_worker *worker, uint32_t stop)
{
    const struct timespec now = { 0, 0 };
    sigset_t term;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    while (sigtimedwait(&term, NULL, &now) == SIGTERM)
        ;
    sigprocmask(SIG_SETMASK, &worker->mask, NULL);
    atomic_store_explicit(&worker->seat.shm->survived, stop, memory_order_release);
    PPI_POINT(WORKER_SURVIVED);
    ppi_alarm(worker->seat.queue); /* it may sleep until the end of the grace period */
}

static const _Atomic uint32_t *stop_of(const struct ppi_worker *worker)
{
    return &worker->seat.queue->control->seats[worker->seat.index].stop;
}

bool ppi_is_stopped(const struct ppi_worker *worker)
{
    uint32_t stop = atomic_load_explicit(stop_of(worker), memory_order_acquire);

    return (stop & PPI_STOP_BITS) != PPI_STOP_OFF;
}

void ppi_answer_stop(const struct ppi_worker *worker)
{
    uint32_t stop = atomic_load_explicit(stop_of(worker), memory_order_acquire);

    if ((stop & PPI_STOP_BITS) == PPI_STOP_TERM)
        survive_sigterm(worker, stop);
}

void ppi_wait_while_stopped(struct ppi_worker *worker)
{
    const struct ppi_queue *queue = worker->seat.queue;
    const _Atomic uint32_t *stop = stop_of(worker);
    uint32_t seen = atomic_load_explicit(stop, memory_order_acquire), survived = 0;

    if ((seen & PPI_STOP_BITS) == PPI_STOP_OFF)
        return;
    /* Who sees the word of a cancelled task's stop sees that it is cancelled. */
    while ((seen & PPI_STOP_BITS) != PPI_STOP_OFF &&
           !ppi_is_cancelled(worker->cancel, worker->position)) {
        if ((seen & PPI_STOP_BITS) == PPI_STOP_TERM && seen != survived)
            survive_sigterm(worker, survived = seen);
        PPI_POINT(WORKER_WAITS_FOR_STOP);
        queue->futex->wait(stop, seen, PPI_NEVER);
        PPI_POINT(WORKER_GOES_ON);
        seen = atomic_load_explicit(stop, memory_order_acquire);
    }
}

void ppi_begin_finalizer(struct ppi_worker *worker)
{
    static const _Atomic uint64_t nothing; /* no more tasks: none that is cancelled */

    worker->cancel = &nothing;
    atomic_store_explicit(&worker->seat.shm->state, PPI_SEAT_FINALIZING, memory_order_release);
    PPI_POINT(WORKER_FINALIZING);
    atomic_thread_fence(memory_order_seq_cst); /* partner: begin_stop() in the supervisor */
    ppi_wait_while_stopped(worker);
    PPI_POINT(WORKER_FINALIZER_DUE);
    ppi_alarm(worker->seat.queue); /* from when it looks on, the finalizer has so much time */
}

void ppi_begin_limit(struct ppi_worker *worker)
{
    const struct ppi_queue *queue = worker->seat.queue;
    uint64_t now = ppi_now_ns();

    atomic_store_explicit(&worker->seat.shm->started, now, memory_order_release);
    PPI_POINT(WORKER_LIMIT_BEGUN);
    atomic_thread_fence(memory_order_seq_cst); /* partner: ppi_look_at_tasks() */
    if (atomic_load_explicit(&queue->control->looks_at, memory_order_relaxed) >
        now + worker->slot->limit_ns)
        ppi_alarm(queue);
}

void ppi_end_limit(struct ppi_worker *worker)
{
    /* What is stored next, that the worker goes on, is stored with release: who sees
       that sees this. */
    atomic_store_explicit(&worker->seat.shm->started, 0, memory_order_release);
    PPI_POINT(WORKER_LIMIT_ENDED);
}
