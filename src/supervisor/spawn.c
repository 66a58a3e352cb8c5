/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <unistd.h>

#include "supervisor/supervisor.h"

/* The next spare is forked later, for as long as that takes it keeps a CPU from the last. */
#define PAUSE_NS (20 * PPI_MS)

/* A seat that nobody sits on and whose last results the client has taken; or -1. */
static int free_seat(struct ppi_supervisor *supervisor)
{
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++) {
        struct ppi_place *place = &supervisor->places[seat];
        const struct ppi_ack_shm *ack = &supervisor->queue.shm->acks[seat];

        /* Pairs with the release in the client's release_seat(). */
        if (place->used && place->pid == 0 &&
            atomic_load_explicit(&ack->released, memory_order_acquire) == place->incarnation)
            place->used = false;
        if (!place->used && !place->dying)
            return (int)seat;
    }
    return -1;
}

/*
 * fork(), of which the time is taken: that of the CPU, since a process that waits for one
 * knows nothing of what forking takes.
 */
static pid_t fork_timed(struct ppi_supervisor *supervisor)
{
    uint64_t begin = ppi_used_ns(), took;
    pid_t pid = fork();

    if (pid <= 0)
        return pid;
    took = ppi_used_ns() - begin;
    if (supervisor->fork_ns == 0 || took < supervisor->fork_ns)
        supervisor->fork_ns = took;
    return pid;
}

static void show_spare(struct ppi_supervisor *supervisor, pid_t pid)
{
    supervisor->spare = pid;
    atomic_store_explicit(&supervisor->queue.control->spare, pid, memory_order_release);
}

/* The spare, which gets this seat. */
static pid_t call_spare(struct ppi_supervisor *supervisor, unsigned seat, uint32_t incarnation)
{
    struct ppi_control_shm *control = supervisor->queue.control;
    pid_t pid = supervisor->spare;

    control->called_to_seat = seat;
    control->called_incarnation = incarnation;
    atomic_store_explicit(&control->call, supervisor->spares, memory_order_release);
    supervisor->queue.futex->wake(&control->call, 1); /* partner: ppi_spare_run() */
    show_spare(supervisor, 0);
    supervisor->spare_at_ns = ppi_now_ns() + PAUSE_NS;
    return pid;
}

void ppi_keep_spare(struct ppi_supervisor *supervisor)
{
    pid_t pid, self = getpid();

    if (supervisor->spare_at_ns != PPI_NEVER && ppi_now_ns() < supervisor->spare_at_ns)
        return;
    supervisor->spare_at_ns = PPI_NEVER;
    if (supervisor->spare || supervisor->spareless || supervisor->ending ||
        supervisor->fork_ns < PPI_SLOW_FORK_NS)
        return;
    supervisor->spares++;
    pid = fork();
    if (pid == 0)
        ppi_spare_run(supervisor->heritage, supervisor->spares, self);
    if (pid > 0) /* otherwise a worker will have to be forked when it is needed */
        show_spare(supervisor, pid);
}

void ppi_reap_spare(struct ppi_supervisor *supervisor)
{
    show_spare(supervisor, 0);
    if (!ppi_limit_allows(&supervisor->spare_limit, ppi_now_ns(), true))
        supervisor->spareless = true;
}

int ppi_spawn_worker(struct ppi_supervisor *supervisor)
{
    pid_t pid, self = getpid();
    int seat = free_seat(supervisor);
    struct ppi_place *place;
    struct ppi_control_seat_shm *shown;

    if (seat < 0)
        return -EBUSY;
    place = &supervisor->places[seat];
    shown = &supervisor->queue.control->seats[seat];
    /* The client believes a seat of the incarnation only that is announced here. */
    atomic_store_explicit(&shown->incarnation, place->incarnation + 1, memory_order_release);
    pid = supervisor->spare
              ? call_spare(supervisor, (unsigned)seat, place->incarnation + 1)
              : fork_timed(supervisor);
    if (pid == 0)
        ppi_worker_run(supervisor->heritage, (unsigned)seat, place->incarnation + 1, self);
    if (pid < 0) {
        int error = -errno;

        atomic_store_explicit(&shown->incarnation, place->incarnation, memory_order_release);
        return error;
    }
    *place = (struct ppi_place){
        .pid = pid, .incarnation = place->incarnation + 1, .used = true
    };
    atomic_store_explicit(&shown->pid, pid, memory_order_relaxed);
    atomic_store_explicit(&shown->state, PPI_LIVE, memory_order_release);
    supervisor->alive++;
    return 0;
}
