/* SPDX-License-Identifier: MIT */
/*
 * The supervisor: a process of one thread that sleeps until a worker dies, the
 * client dies, a time limit ends, or client or worker poke it.
 *
 * It takes no lock, runs no code of the user's and believes nothing that workers
 * write.  It ends when it has ended all that descends from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"
#include "queue/wake.h"
#include "supervisor/supervisor.h"

#define FIRST_BACKOFF_NS (10 * PPI_MS)
#define LAST_BACKOFF_NS PPI_SECOND
#define PATIENCE_NS (5 * PPI_SECOND) /* without any worker */

static void set_state(struct ppi_supervisor *supervisor, enum ppi_pool_state state)
{
    atomic_store_explicit(&supervisor->queue.control->state, state, memory_order_release);
    ppi_wake_all(&supervisor->queue);
}

static enum ppi_command command_of(const struct ppi_supervisor *supervisor)
{
    return atomic_load_explicit(&supervisor->queue.shm->command, memory_order_acquire);
}

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

/*
 * The life word is a robust futex that this process holds and never lets go: when
 * it dies, however it dies, the kernel marks it and wakes the client.
 */
static void announce_life(struct ppi_supervisor *supervisor)
{
    static struct robust_list_head head;
    struct ppi_control_shm *control = supervisor->queue.control;
    struct robust_list *node = (struct robust_list *)(void *)control->robust_node;
    uint32_t self = (uint32_t)syscall(SYS_gettid);

    node->next = &head.list;
    head.list.next = node;
    head.futex_offset = (long)((char *)&control->life - (char *)node);
    syscall(SYS_set_robust_list, &head, sizeof head);
    /* Nobody is woken: who sleeps on its former value sleeps on until it is marked. */
    atomic_store_explicit(&control->life, self | FUTEX_WAITERS, memory_order_release);
}

static void become_supervisor(void)
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

/* ---- Ending ---- */

/* waitid() says that somebody is dead who is not on a seat. */
static void forget(struct ppi_supervisor *supervisor, pid_t pid)
{
    if (pid == supervisor->spare)
        ppi_reap_spare(supervisor);
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++)
        if (supervisor->places[seat].dying == pid)
            supervisor->places[seat].dying = 0;
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
        if (errno == ECHILD)
            return;
        for (unsigned seat = 0; seat < supervisor->queue.seats; seat++)
            if (supervisor->places[seat].pid)
                kill(supervisor->places[seat].pid, SIGKILL);
        if (supervisor->spare)
            kill(supervisor->spare, SIGKILL);
        ppi_kill_children();
        /* Not waiting for any one of them: another may be adopted meanwhile. */
        ppoll(NULL, 0, &pause, &none);
    }
}

static _Noreturn void end(struct ppi_supervisor *supervisor, enum ppi_pool_state state)
{
    end_descendants(supervisor);
    set_state(supervisor, state);
    _exit(0);
}

/* Gives up: says why, in words, and ends everything. */
static _Noreturn void give_up(struct ppi_supervisor *supervisor, int status, int code,
                              const char *why)
{
    struct ppi_control_shm *control = supervisor->queue.control;

    control->failure_status = status;
    control->failure_code = code;
    snprintf(control->failure, sizeof control->failure, "%s", why);
    end(supervisor, PPI_POOL_BROKEN);
}

/* ---- Deaths ---- */

static int wait_status(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED ? (info->si_status & 0xff) << 8 : info->si_status;
}

static void describe_death(char *text, size_t size, int status)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "was killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
}

/* A worker died outside of any task: is there any use in replacing it? */
static void count_death(struct ppi_supervisor *supervisor, unsigned seat, int status)
{
    struct ppi_seat_shm *shm = ppi_queue_seat(&supervisor->queue, seat);
    bool seated = ppi_seated(supervisor, seat);
    enum ppi_seat_state state = seated ? atomic_load(&shm->state) : PPI_SEAT_STARTING;
    char how[64], why[PPI_MESSAGE_SIZE];

    if (seated && atomic_load(&shm->runs) != PPI_NO_POSITION) {
        ppi_limit_relax(&supervisor->limit); /* it has worked: there is */
        return;
    }
    if (state == PPI_SEAT_RETIRED && status == 0)
        return;
    describe_death(how, sizeof how, status);
    if (state == PPI_SEAT_FAILED)
        snprintf(why, sizeof why, "%.*s", (int)sizeof shm->message - 1, shm->message);
    else
        snprintf(why, sizeof why, "%s %s",
                 state == PPI_SEAT_READY ? "an idle worker" : "a worker's initializer", how);
    if (ppi_limit_allows(&supervisor->limit, ppi_now_ns(), state == PPI_SEAT_READY) &&
        command_of(supervisor) != PPI_STARTING)
        return;
    if (state == PPI_SEAT_FAILED)
        give_up(supervisor, 0, shm->code, why);
    give_up(supervisor, status, 0, why);
}

/* A worker runs no more, and this is how it ended. */
static void reap(struct ppi_supervisor *supervisor, unsigned seat, int status)
{
    if (ppi_reap_worker(supervisor, seat, status))
        ppi_limit_relax(&supervisor->limit);
    else if (!supervisor->ending)
        count_death(supervisor, seat, status);
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
        reap(supervisor, seat, status);
        place->dying = pid;
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
        if (seat >= 0)
            reap(supervisor, (unsigned)seat, wait_status(&info));
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

/* ---- Births ---- */

static void fork_failed(struct ppi_supervisor *supervisor, int error)
{
    uint64_t now = ppi_now_ns();
    char why[128];

    snprintf(why, sizeof why, "cannot fork a worker: %s", strerrordesc_np(-error));
    if (command_of(supervisor) == PPI_STARTING)
        give_up(supervisor, 0, error, why);
    if (supervisor->alive > 0)
        supervisor->none_since_ns = 0;
    else if (supervisor->none_since_ns == 0)
        supervisor->none_since_ns = now;
    else if (now - supervisor->none_since_ns > PATIENCE_NS)
        give_up(supervisor, 0, error, why);
    supervisor->retry_at_ns = now + supervisor->backoff_ns;
    supervisor->backoff_ns = supervisor->backoff_ns * 2 < LAST_BACKOFF_NS
                                 ? supervisor->backoff_ns * 2
                                 : LAST_BACKOFF_NS;
}

static void fill_up(struct ppi_supervisor *supervisor)
{
    if (supervisor->retry_at_ns != PPI_NEVER && ppi_now_ns() < supervisor->retry_at_ns)
        return;
    supervisor->retry_at_ns = PPI_NEVER;
    while (supervisor->alive < supervisor->wanted) {
        int error = ppi_spawn_worker(supervisor);

        if (error == -EBUSY)
            return; /* the client pokes when it has emptied a seat */
        if (error) {
            fork_failed(supervisor, error);
            return;
        }
        supervisor->backoff_ns = FIRST_BACKOFF_NS;
        supervisor->none_since_ns = 0;
    }
}

/* ---- The loop ---- */

static uint64_t earliest(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

static void sleep_until_news(struct ppi_supervisor *supervisor)
{
    struct pollfd fds[] = {
        { .fd = supervisor->heritage->client, .events = POLLIN },
        { .fd = supervisor->heritage->poke, .events = POLLIN },
    };
    uint64_t until = earliest(earliest(supervisor->retry_at_ns, supervisor->look_at_ns),
                              supervisor->spare_at_ns);
    uint64_t now = ppi_now_ns();
    struct timespec left = ppi_timespec(until > now ? until - now : 0);
    sigset_t none;

    sigemptyset(&none); /* SIGCHLD comes here, and nowhere else */
    if (ppoll(fds, 2, until == PPI_NEVER ? NULL : &left, &none) <= 0)
        return;
    if (fds[0].revents)
        end(supervisor, PPI_POOL_STOPPED); /* nobody is left to work for */
    if (fds[1].revents)
        ppi_waker_clear(&supervisor->queue.poke);
}

static void obey(struct ppi_supervisor *supervisor)
{
    atomic_thread_fence(memory_order_seq_cst); /* partner: command() in the client */
    switch (command_of(supervisor)) {
    case PPI_TERMINATE:
        end(supervisor, PPI_POOL_STOPPED);
    case PPI_FINISH:
        if (supervisor->alive == 0)
            end(supervisor, PPI_POOL_STOPPED);
        if (supervisor->spare)
            kill(supervisor->spare, SIGKILL); /* its end may take as long as a worker's */
        break;
    default:
        break;
    }
}

_Noreturn void ppi_supervisor_run(const struct ppi_heritage *heritage)
{
    static struct ppi_supervisor supervisor; /* this process has no other */

    become_supervisor();
    if (supervisor.heritage) /* a task has made a pool; otherwise it is zero */
        memset(&supervisor, 0, sizeof supervisor);
    supervisor.heritage = heritage;
    supervisor.queue = heritage->queue;
    supervisor.wanted = heritage->workers;
    supervisor.retry_at_ns = supervisor.look_at_ns = supervisor.spare_at_ns = PPI_NEVER;
    supervisor.backoff_ns = FIRST_BACKOFF_NS;
    ppi_limit_init(&supervisor.limit, heritage->workers);
    ppi_limit_init(&supervisor.spare_limit, heritage->workers);
    announce_life(&supervisor);
    if (ppi_segment_confine_supervisor(&supervisor.queue.segment) != 0)
        give_up(&supervisor, 0, -ENOMEM, "cannot protect the shared memory");
    ppi_look_at_tasks(&supervisor); /* says that nothing is waited for */
    fill_up(&supervisor);
    /* Nobody is woken: the client waits for the workers. */
    atomic_store_explicit(&supervisor.queue.control->state, PPI_POOL_RUNNING,
                          memory_order_release);
    for (;;) {
        ppi_keep_spare(&supervisor);
        sleep_until_news(&supervisor);
        supervisor.ending = command_of(&supervisor) == PPI_FINISH;
        ppi_ring_owed_event(&supervisor.queue);
        reap_all(&supervisor);
        reap_dying(&supervisor);
        kill_condemned(&supervisor);
        ppi_look_at_tasks(&supervisor);
        obey(&supervisor);
        if (!supervisor.ending)
            fill_up(&supervisor);
    }
}
