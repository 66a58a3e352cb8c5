/* SPDX-License-Identifier: MIT */
/* What a task can call. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/public.h"
#include "base/random.h"
#include "worker/worker.h"

_Thread_local struct ppi_worker *ppi_current_worker;

/* The worker whose task, initializer or finalizer is calling; NULL elsewhere. */
static struct ppi_worker *calling_worker(void)
{
    struct ppi_worker *worker = ppi_current_worker;

    return worker && worker->activity != PPI_BETWEEN && worker->pid == getpid() ? worker
                                                                                : NULL;
}

bool ppi_in_task_of(const struct ppi_queue *queue)
{
    /* A task of an inline pool may run inside of another pool's. */
    for (const struct ppi_worker *worker = calling_worker(); worker; worker = worker->outer)
        if (worker->seat.queue->segment.base == queue->segment.base)
            return true;
    return false;
}

/*
 * Whether this is a handler that still answers the SIGTERM for a task that is over, or has
 * not begun.  Its process is about to be killed, or to wait until it is known that it need
 * not be: it may as well die, which costs no item that would not be lost anyway.
 */
static bool is_too_late(void)
{
    const struct ppi_worker *worker = ppi_current_worker;

    return worker && worker->pid == getpid() && worker->activity == PPI_BETWEEN &&
           ppi_is_stopped(worker);
}

/* ---- Who the worker is ---- */

PPI_PUBLIC int pp_worker_id(void)
{
    const struct ppi_worker *worker = calling_worker();

    return worker ? (int)worker->id : -1;
}

PPI_PUBLIC int pp_worker_incarnation(void)
{
    const struct ppi_worker *worker = calling_worker();

    return worker ? (int)worker->life : 0;
}

PPI_PUBLIC uint64_t pp_random_seed(void)
{
    const struct ppi_worker *worker = calling_worker();

    return worker ? worker->seed : ppi_random();
}

/* Of a thread that is no worker. */
static _Thread_local void *thread_local_pointer;

static void **local_pointer(void)
{
    struct ppi_worker *worker = calling_worker();

    return worker ? &worker->local : &thread_local_pointer;
}

PPI_PUBLIC void pp_worker_set_local(void *local)
{
    *local_pointer() = local;
}

PPI_PUBLIC void *pp_worker_local(void)
{
    return *local_pointer();
}

/* ---- What it can do ---- */

PPI_PUBLIC void pp_raise(int code, const char *format, ...)
{
    struct ppi_worker *worker = calling_worker();
    char text[PPI_MESSAGE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!worker) {
        if (is_too_late())
            kill(getpid(), SIGKILL);
        dprintf(STDERR_FILENO, "procpool: pp_raise() outside of a task: %s\n", text);
        abort();
    }
    worker->code = code;
    memcpy(worker->message, text, sizeof text);
    longjmp(worker->raised, 1);
}

PPI_PUBLIC int pp_attempt(void)
{
    const struct ppi_worker *worker = calling_worker();

    if (!worker || worker->activity != PPI_IN_TASK)
        return 0;
    /* Not worker->item, which is behind inside of a run. */
    return atomic_load_explicit(&worker->seat.shm->item, memory_order_relaxed) == worker->first
               ? (int)worker->attempt
               : 1;
}

PPI_PUBLIC void *pp_reserve(size_t size)
{
    struct ppi_worker *worker = calling_worker();
    void *block;

    if (!worker || worker->activity != PPI_IN_TASK)
        return malloc(size ? size : 1);
    block = ppi_seat_alloc(&worker->seat, size);
    if (!block)
        errno = ENOMEM;
    return block;
}
