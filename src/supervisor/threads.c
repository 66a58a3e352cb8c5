/* SPDX-License-Identifier: MIT */
/*
 * Workers that are threads of the client: no isolation, and nothing that could be killed.
 *
 * What supervises them is a thread, too, with the same loop as that of a process.  A worker
 * ends by itself, when it has retired or is dismissed.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "queue/wake.h"
#include "supervisor/supervisor.h"

struct ppi_thread {
    pthread_t thread;
    const struct ppi_heritage *heritage;
    unsigned seat;
    uint32_t incarnation;
    int status;         /* as of a process */
    atomic_bool ended;  /* it can be joined */
};

/* What a thread does wrong is the program's to deal with; all else is for its own threads. */
static void take_faults(void)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigaddset(&set, faults[i]);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *be_worker(void *what)
{
    struct ppi_thread *thread = what;

    take_faults();
    thread->status = ppi_worker_thread(thread->heritage, thread->seat, thread->incarnation) << 8;
    atomic_store_explicit(&thread->ended, true, memory_order_release); /* partner: look() */
    ppi_alarm(&thread->heritage->queue);
    return NULL;
}

static pid_t start(struct ppi_supervisor *supervisor, unsigned seat, uint32_t incarnation)
{
    struct ppi_thread *thread = &supervisor->threads[seat];
    int error;

    thread->heritage = supervisor->heritage;
    thread->seat = seat;
    thread->incarnation = incarnation;
    atomic_store_explicit(&thread->ended, false, memory_order_relaxed);
    error = pthread_create(&thread->thread, NULL, be_worker, thread);
    return error ? -error : (pid_t)(seat + 1); /* all that counts is that it is not 0 */
}

static void look(struct ppi_supervisor *supervisor)
{
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++) {
        struct ppi_thread *thread = &supervisor->threads[seat];

        if (!supervisor->places[seat].pid ||
            !atomic_load_explicit(&thread->ended, memory_order_acquire))
            continue;
        pthread_join(thread->thread, NULL);
        ppi_reap(supervisor, seat, thread->status);
    }
}

/* Each ends when it has done the item that it is at: the client has cancelled all others. */
static void end(struct ppi_supervisor *supervisor)
{
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++)
        atomic_store_explicit(&supervisor->queue.control->seats[seat].dismissed, 1,
                              memory_order_relaxed);
    ppi_wake_all(&supervisor->queue);
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++) {
        struct ppi_thread *thread = &supervisor->threads[seat];

        if (!supervisor->places[seat].pid)
            continue;
        pthread_join(thread->thread, NULL);
        ppi_reap_worker(supervisor, seat, thread->status);
    }
}

const struct ppi_kind ppi_threads = { .start = start, .look = look, .end = end };

static void *be_supervisor(void *what)
{
    struct ppi_supervisor *supervisor = what;

    ppi_begin_supervising(supervisor, supervisor->heritage, &ppi_threads);
    ppi_supervise(supervisor);
    free(supervisor->threads);
    free(supervisor);
    return NULL;
}

int ppi_supervisor_thread(const struct ppi_heritage *heritage, pthread_t *thread)
{
    struct ppi_supervisor *supervisor = calloc(1, sizeof *supervisor);
    struct ppi_thread *threads = calloc(heritage->queue.seats, sizeof *threads);
    int error = ENOMEM;

    if (supervisor && threads) {
        supervisor->heritage = heritage;
        supervisor->threads = threads;
        error = pthread_create(thread, NULL, be_supervisor, supervisor);
    }
    if (error) {
        free(threads);
        free(supervisor);
    }
    return -error;
}
