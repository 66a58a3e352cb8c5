/* SPDX-License-Identifier: MIT */
/* A worker's life: start, initializer, tasks, end. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "queue/wake.h"
#include "worker/worker.h"

void ppi_worker_init(struct ppi_worker *worker, struct ppi_queue *queue, unsigned seat,
                     uint32_t incarnation, uint64_t max_items)
{
    memset(worker, 0, sizeof *worker); /* a task may make a pool, whose workers inherit this */
    ppi_seat_init(&worker->seat, queue, seat, incarnation);
    ppi_claimer_init(&worker->claimer, queue, seat);
    worker->pid = getpid();
    worker->activity = PPI_BETWEEN;
    worker->limited = max_items > 0;
    worker->left = max_items;
    ppi_current_worker = worker;
}

static bool retired(const struct ppi_worker *worker)
{
    return worker->limited && worker->left == 0;
}

void ppi_worker_loop(struct ppi_worker *worker)
{
    struct ppi_start start;

    while (!retired(worker)) {
        if (ppi_claim(&worker->claimer, &start)) {
            ppi_pass_on(&worker->claimer);
            ppi_run_task(worker, &start);
            worker->idler.tasks++;
            continue;
        }
        ppi_seat_tell(&worker->seat);
        if (ppi_told_to_end(worker->seat.queue))
            return;
        ppi_answer_stop(worker);
        ppi_idle(&worker->idler, &worker->claimer);
    }
    ppi_seat_tell(&worker->seat);
}

/* Ends a worker that cannot start. */
static _Noreturn void fail(struct ppi_worker *worker, int code, const char *message)
{
    struct ppi_seat_shm *seat = worker->seat.shm;

    seat->code = code;
    snprintf(seat->message, sizeof seat->message, "%s", message);
    atomic_store_explicit(&seat->state, PPI_SEAT_FAILED, memory_order_release);
    _exit(1);
}

/* What a worker must not share with its supervisor. */
static void become_worker(const struct ppi_heritage *heritage, unsigned seat,
                          pid_t supervisor)
{
    char name[16]; /* the kernel takes no more */
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor) /* it died before this took effect */
        _exit(1);
    snprintf(name, sizeof name, "pp-worker-%u", seat);
    prctl(PR_SET_NAME, name);
    close(heritage->client);
    close(heritage->poke); /* others keep the readers: we only write */
    if (heritage->queue.event.reader >= 0)
        close(heritage->queue.event.reader);
    signal(SIGCHLD, SIG_DFL); /* the supervisor has reset all others */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Where pp_raise() in the initializer arrives. */
static void initialize(struct ppi_worker *worker, const struct ppi_heritage *heritage)
{
    worker->activity = PPI_INITIALIZING;
    if (setjmp(worker->raised))
        fail(worker, worker->code ? worker->code : EINVAL, worker->message);
    worker->code = heritage->initializer ? heritage->initializer(heritage->initarg) : 0;
    worker->activity = PPI_BETWEEN;
    if (worker->code != 0) {
        snprintf(worker->message, sizeof worker->message, "the initializer returned %d",
                 worker->code);
        fail(worker, worker->code, worker->message);
    }
}

_Noreturn void ppi_worker_run(const struct ppi_heritage *heritage, unsigned seat,
                              uint32_t incarnation, pid_t supervisor)
{
    static struct ppi_worker worker; /* this process has no other */
    static struct ppi_queue queue;
    int error;

    queue = heritage->queue;
    queue.supervisor = supervisor;
    become_worker(heritage, seat, supervisor);
    error = ppi_segment_confine_worker(&queue.segment, seat);
    if (error)
        _exit(1);
    ppi_worker_init(&worker, &queue, seat, incarnation, heritage->max_items);
    initialize(&worker, heritage);
    sigprocmask(SIG_SETMASK, NULL, &worker.mask);
    atomic_store_explicit(&worker.seat.shm->state, PPI_SEAT_READY, memory_order_release);
    ppi_wake_client(&queue);
    ppi_worker_loop(&worker);
    fflush(stdout);
    atomic_store_explicit(&worker.seat.shm->state, PPI_SEAT_RETIRED, memory_order_release);
    _exit(0);
}
