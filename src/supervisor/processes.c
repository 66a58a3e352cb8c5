/* SPDX-License-Identifier: MIT */
/* Workers that are processes: forking them, waiting for them, ending them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/point.h"
#include "base/process.h"
#include "queue/wake.h"
#include "supervisor/supervisor.h"

/* The next spare is forked later, for as long as that takes it keeps a CPU from the last. */
#define PAUSE_NS (20 * PPI_MS)

/* ---- Becoming the supervisor ---- */

static void on_child(int signal)
{
    (void)signal; /* it is enough that ppoll() ends */
}

/* The client's handlers mean nothing here, nor in the workers that inherit this. */
static void reset_signals(void)
{
    struct sigaction child = { .sa_handler = on_child };
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, number == SIGINT ? SIG_IGN : SIG_DFL);
    sigaction(SIGCHLD, &child, NULL);
}

void ppi_become_supervisor(void)
{
    int nothing;

    reset_signals();
    __fpurge(stdout); /* what the client could not write before is still its to write */
    setsid(); /* what is typed at the client's terminal is not for us */
    prctl(PR_SET_NAME, "pp-supervisor");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing > STDIN_FILENO) {
        dup2(nothing, STDIN_FILENO); /* workers do not compete for the client's input */
        close(nothing);
    }
}

/* ---- Births ---- */

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
    PPI_POINT(SUPERVISOR_FORKED);
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

/*
 * Whether the one that was called last has come, or is dead.  Until then it may still have to
 * read which seat is its own, however long ago that was: another call would be its end.
 */
static bool was_heard(const struct ppi_supervisor *supervisor)
{
    const struct ppi_control_shm *control = supervisor->queue.control;
    unsigned seat = control->called_to_seat;
    const struct ppi_place *place = &supervisor->places[seat];

    return !place->pid || place->incarnation != control->called_incarnation ||
           ppi_seated(supervisor, seat);
}

/* The spare, which gets this seat. */
static pid_t call_spare(struct ppi_supervisor *supervisor, unsigned seat, uint32_t incarnation)
{
    struct ppi_control_shm *control = supervisor->queue.control;
    pid_t pid = supervisor->spare;

    control->called_to_seat = seat;
    control->called_incarnation = incarnation;
    PPI_POINT(SUPERVISOR_CALLS_SPARE);
    atomic_store_explicit(&control->call, supervisor->spares, memory_order_release);
    PPI_POINT(SUPERVISOR_CALLED_SPARE);
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
    PPI_POINT(SUPERVISOR_FORKED_SPARE);
    if (pid > 0) /* otherwise a worker will have to be forked when it is needed */
        show_spare(supervisor, pid);
}

static void reap_spare(struct ppi_supervisor *supervisor)
{
    show_spare(supervisor, 0);
    if (!ppi_limit_allows(&supervisor->spare_limit, ppi_now_ns(), true))
        supervisor->spareless = true;
}

static pid_t start(struct ppi_supervisor *supervisor, unsigned seat, uint32_t incarnation)
{
    pid_t self = getpid();
    pid_t pid = supervisor->spare && was_heard(supervisor)
                    ? call_spare(supervisor, seat, incarnation)
                    : fork_timed(supervisor);

    if (pid == 0)
        ppi_worker_run(supervisor->heritage, seat, incarnation, self);
    if (pid < 0)
        return -errno;
    atomic_store_explicit(&supervisor->queue.control->seats[seat].pid, pid,
                          memory_order_relaxed);
    return pid;
}

/* ---- Deaths ---- */

static int wait_status(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED ? (info->si_status & 0xff) << 8 : info->si_status;
}

/* waitid() says that somebody is dead who is not on a seat. */
static void forget(struct ppi_supervisor *supervisor, pid_t pid)
{
    if (pid == supervisor->spare)
        reap_spare(supervisor);
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++)
        if (supervisor->places[seat].dying == pid)
            supervisor->places[seat].dying = 0;
}

/* Looking at a process costs some 10 us: looking at all workers must not take longer than to
   wait until waitid() says who it was. */
#define MOST_LOOKED_AT 16

/*
 * Whoever sleeps in the client is woken when a worker begins to die, and says so.  That is
 * a little before waitid() does, or much if it has the memory of a large program.  The seat
 * is not used again before waitid() has said so, too.
 */
static void reap_dying(struct ppi_supervisor *supervisor)
{
    uint32_t hints = atomic_load_explicit(&supervisor->queue.shm->hints, memory_order_acquire);

    if (hints == supervisor->hints || supervisor->ending ||
        (supervisor->alive > MOST_LOOKED_AT && supervisor->fork_ns < PPI_SLOW_FORK_NS))
        return;
    supervisor->hints = hints;
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++) {
        struct ppi_place *place = &supervisor->places[seat];
        pid_t pid = place->pid;
        int status;

        if (!pid || !ppi_is_exiting(pid, &status))
            continue;
        PPI_POINT(SUPERVISOR_SAW_DYING);
        ppi_reap(supervisor, seat, status);
        place->dying = pid;
        PPI_POINT(SUPERVISOR_AWAITS_DEATH);
    }
}

static void reap_all(struct ppi_supervisor *supervisor)
{
    siginfo_t info;

    while (info.si_pid = 0,
           waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG) == 0 && info.si_pid) {
        int seat = ppi_find_seat(supervisor, info.si_pid);

        if (info.si_code == CLD_STOPPED) {
            ppi_wake_all(&supervisor->queue); /* it may have stopped with a wake-up in hand */
            continue;
        }
        PPI_POINT(SUPERVISOR_SAW_DEATH);
        if (seat >= 0)
            ppi_reap(supervisor, (unsigned)seat, wait_status(&info));
        else
            forget(supervisor, info.si_pid); /* or a task's child, adopted */
    }
}

/* The client has read nonsense on a seat: its worker is not to be trusted. */
static void kill_condemned(struct ppi_supervisor *supervisor)
{
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++) {
        struct ppi_place *place = &supervisor->places[seat];
        const struct ppi_ack_shm *ack = &supervisor->queue.shm->acks[seat];

        if (place->pid && atomic_load_explicit(&ack->condemned, memory_order_acquire) ==
                              place->incarnation)
            kill(place->pid, SIGKILL);
    }
}

static void look(struct ppi_supervisor *supervisor)
{
    reap_all(supervisor);
    reap_dying(supervisor);
    kill_condemned(supervisor);
    ppi_look_at_tasks(supervisor);
}

/* Ends every descendant, adopted ones too, and waits until they are gone. */
static void end_descendants(struct ppi_supervisor *supervisor)
{
    const struct timespec pause = { .tv_nsec = 200000 }; /* unless SIGCHLD comes before */
    sigset_t none;
    siginfo_t info;

    supervisor->killing = true;
    sigemptyset(&none);
    for (;;) {
        errno = 0;
        while (info.si_pid = 0, waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid) {
            int seat = ppi_find_seat(supervisor, info.si_pid);

            if (seat >= 0)
                ppi_reap_worker(supervisor, (unsigned)seat, SIGKILL);
            else
                forget(supervisor, info.si_pid);
        }
        PPI_POINT(SUPERVISOR_ENDS_ALL);
        if (errno == ECHILD)
            return;
        for (unsigned seat = 0; seat < supervisor->queue.seats; seat++)
            if (supervisor->places[seat].pid)
                kill(supervisor->places[seat].pid, SIGKILL);
        if (supervisor->spare)
            kill(supervisor->spare, SIGKILL);
        ppi_kill_children();
        PPI_POINT(SUPERVISOR_KILLED_ALL);
        /* Not waiting for any one of them: another may be adopted meanwhile. */
        ppoll(NULL, 0, &pause, &none);
    }
}

const struct ppi_kind ppi_processes = {
    .start = start,
    .look = look,
    .end = end_descendants,
    .has_children = true,
};
