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
#include "base/point.h"
#include "base/process.h"
#include "queue/wake.h"
#include "supervisor/supervisor.h"

#define FIRST_BACKOFF_NS (10 * PPI_MS)
#define LAST_BACKOFF_NS PPI_SECOND
#define PATIENCE_NS (5 * PPI_SECOND) /* without any worker */
#define BURST_NS (2 * PPI_MS)        /* of forking, until it is looked what else there is */

static void set_state(struct ppi_supervisor *supervisor, enum ppi_pool_state state)
{
    atomic_store_explicit(&supervisor->queue.control->state, state, memory_order_release);
    PPI_POINT(SUPERVISOR_SAID_STATE);
    ppi_wake_all(&supervisor->queue);
}

static enum ppi_command command_of(const struct ppi_supervisor *supervisor)
{
    return atomic_load_explicit(&supervisor->queue.shm->command, memory_order_acquire);
}

/*
 * The life word is a robust futex that this process, or thread, holds and never lets go:
 * when it dies, however it dies, the kernel marks it and wakes the client.
 */
static void announce_life(struct ppi_supervisor *supervisor)
{
    struct ppi_control_shm *control = supervisor->queue.control;
    struct robust_list_head *head = (struct robust_list_head *)(void *)control->robust_head;
    struct robust_list *node = (struct robust_list *)(void *)control->robust_node;
    uint32_t self = (uint32_t)syscall(SYS_gettid);

    node->next = &head->list;
    head->list.next = node;
    head->futex_offset = (long)((char *)&control->life - (char *)node);
    syscall(SYS_set_robust_list, head, sizeof *head);
    /* Nobody is woken: who sleeps on its former value sleeps on until it is marked. */
    atomic_store_explicit(&control->life, self | FUTEX_WAITERS, memory_order_release);
    PPI_POINT(SUPERVISOR_LIVES);
}

/* ---- Ending ---- */

static void end(struct ppi_supervisor *supervisor, enum ppi_pool_state state)
{
    if (supervisor->over)
        return;
    supervisor->killing = true;
    PPI_POINT(SUPERVISOR_ENDS);
    supervisor->kind->end(supervisor);
    PPI_POINT(SUPERVISOR_ALL_ENDED);
    set_state(supervisor, state);
    supervisor->over = true;
}

/* Gives up: says why, in words, and ends everything. */
static void give_up(struct ppi_supervisor *supervisor, int status, int code, const char *why)
{
    struct ppi_control_shm *control = supervisor->queue.control;

    if (supervisor->over)
        return;
    PPI_POINT(SUPERVISOR_GIVES_UP);
    control->failure_status = status;
    control->failure_code = code;
    snprintf(control->failure, sizeof control->failure, "%s", why);
    end(supervisor, PPI_POOL_BROKEN);
}

/* ---- Deaths ---- */

static void describe_death(char *text, size_t size, int status)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "was killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
}

/* Why a worker died outside of any task, in words; and a code, or 0 if it is a crash. */
static int describe_cause(const struct ppi_supervisor *supervisor, unsigned seat, int status,
                          char *why, size_t size)
{
    struct ppi_seat_shm *shm = ppi_queue_seat(&supervisor->queue, seat);
    enum ppi_seat_state state = ppi_state_of(supervisor, seat);
    char how[64];

    if (state == PPI_SEAT_FAILED) {
        snprintf(why, size, "%.*s", (int)sizeof shm->message - 1, shm->message);
        return shm->code;
    }
    if (!ppi_seated(supervisor, seat) && WIFEXITED(status)) { /* it had not begun anything */
        snprintf(why, size, "there is no memory to start a worker");
        return -ENOMEM;
    }
    describe_death(how, sizeof how, status);
    snprintf(why, size, "%s %s",
             state == PPI_SEAT_READY ? "an idle worker" : "a worker's initializer", how);
    return 0;
}

/*
 * Whether pp_pool_new() waits for this worker, and fails without it: one of the first, if it
 * has not been ready.  Once it has been the client may have gone on, and not said so yet.
 */
static bool is_awaited(const struct ppi_supervisor *supervisor, unsigned seat)
{
    return command_of(supervisor) == PPI_STARTING && seat < supervisor->size &&
           supervisor->places[seat].incarnation == 1 &&
           ppi_state_of(supervisor, seat) != PPI_SEAT_READY;
}

/* A worker died outside of any task: is there any use in replacing it? */
static void count_death(struct ppi_supervisor *supervisor, unsigned seat, int status)
{
    struct ppi_seat_shm *shm = ppi_queue_seat(&supervisor->queue, seat);
    enum ppi_seat_state state = ppi_state_of(supervisor, seat);
    char why[PPI_MESSAGE_SIZE];
    int code;

    if (ppi_seated(supervisor, seat) && atomic_load(&shm->runs) != PPI_NO_POSITION) {
        ppi_limit_relax(&supervisor->limit); /* it has worked: there is */
        return;
    }
    if ((state == PPI_SEAT_RETIRED && status == 0) || ppi_is_finalizing(state))
        return;
    if (ppi_limit_allows(&supervisor->limit, ppi_now_ns(), state == PPI_SEAT_READY) &&
        !is_awaited(supervisor, seat))
        return;
    supervisor->queue.control->failure_seat = seat; /* there may be more to tell of it */
    code = describe_cause(supervisor, seat, status, why, sizeof why);
    give_up(supervisor, (code || state == PPI_SEAT_FAILED) ? 0 : status, code, why);
}

void ppi_reap(struct ppi_supervisor *supervisor, unsigned seat, int status)
{
    if (ppi_reap_worker(supervisor, seat, status))
        ppi_limit_relax(&supervisor->limit);
    else if (!supervisor->ending)
        count_death(supervisor, seat, status);
}

/* ---- Births ---- */

/* When to try again. */
static uint64_t fork_failed(struct ppi_supervisor *supervisor, int error)
{
    uint64_t now = ppi_now_ns(), again = now + supervisor->backoff_ns;
    char why[128];

    snprintf(why, sizeof why, "cannot fork a worker: %s", strerrordesc_np(-error));
    if (atomic_load_explicit(&supervisor->queue.control->state, memory_order_relaxed) ==
        PPI_POOL_STARTING) /* one of the first: pp_pool_new() waits for it */
        give_up(supervisor, 0, error, why);
    if (supervisor->alive > 0)
        supervisor->none_since_ns = 0;
    else if (supervisor->none_since_ns == 0)
        supervisor->none_since_ns = now;
    else if (now - supervisor->none_since_ns > PATIENCE_NS)
        give_up(supervisor, 0, error, why);
    supervisor->backoff_ns = supervisor->backoff_ns * 2 < LAST_BACKOFF_NS
                                 ? supervisor->backoff_ns * 2
                                 : LAST_BACKOFF_NS;
    return again;
}

/* Forks so many, for a while; when it is to go on, or PPI_NEVER. */
static uint64_t fork_some(struct ppi_supervisor *supervisor, unsigned missing)
{
    /* While tasks run there is other news to look after, too. */
    bool starting = command_of(supervisor) == PPI_STARTING;
    uint64_t until = starting ? PPI_NEVER : ppi_now_ns() + BURST_NS;

    while (missing-- > 0) {
        int error = ppi_spawn_worker(supervisor);

        if (error == -EBUSY)
            return PPI_NEVER; /* the client pokes when it has emptied a seat */
        if (error)
            return fork_failed(supervisor, error);
        supervisor->backoff_ns = FIRST_BACKOFF_NS;
        supervisor->none_since_ns = 0;
        if (missing > 0 && !starting && ppi_now_ns() > until)
            return until;
    }
    return PPI_NEVER;
}

static void fill_up(struct ppi_supervisor *supervisor)
{
    unsigned missing;

    /* Who has just been reaped may have been told to end after we had looked last. */
    if (supervisor->over || command_of(supervisor) >= PPI_FINISH)
        return;
    missing = ppi_fit_size(supervisor);
    PPI_POINT(SUPERVISOR_FITTED);
    if (supervisor->retry_at_ns != PPI_NEVER && ppi_now_ns() < supervisor->retry_at_ns)
        return;
    supervisor->retry_at_ns = fork_some(supervisor, missing);
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
    PPI_POINT(SUPERVISOR_SLEEPS);
    if (ppoll(fds, 2, until == PPI_NEVER ? NULL : &left,
              supervisor->kind->has_children ? &none : NULL) <= 0)
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
        break;
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

void ppi_begin_supervising(struct ppi_supervisor *supervisor,
                           const struct ppi_heritage *heritage, const struct ppi_kind *kind)
{
    unsigned workers = ppi_queue_workers(&heritage->queue);

    supervisor->heritage = heritage;
    supervisor->kind = kind;
    supervisor->queue = heritage->queue;
    supervisor->retry_at_ns = supervisor->look_at_ns = supervisor->spare_at_ns = PPI_NEVER;
    supervisor->backoff_ns = FIRST_BACKOFF_NS;
    supervisor->size = workers;
    ppi_limit_init(&supervisor->limit, workers);
    ppi_limit_init(&supervisor->spare_limit, workers);
    announce_life(supervisor);
}

void ppi_supervise(struct ppi_supervisor *supervisor)
{
    ppi_look_at_tasks(supervisor); /* says that nothing is waited for */
    fill_up(supervisor);
    /* Nobody is woken: the client waits for the workers. */
    if (!supervisor->over)
        atomic_store_explicit(&supervisor->queue.control->state, PPI_POOL_RUNNING,
                              memory_order_release);
    PPI_POINT(SUPERVISOR_STARTED);
    while (!supervisor->over) {
        ppi_keep_spare(supervisor);
        sleep_until_news(supervisor);
        PPI_POINT(SUPERVISOR_WOKEN);
        supervisor->ending = command_of(supervisor) == PPI_FINISH;
        ppi_ring_owed_event(&supervisor->queue);
        supervisor->kind->look(supervisor);
        PPI_POINT(SUPERVISOR_LOOKED);
        obey(supervisor);
        PPI_POINT(SUPERVISOR_OBEYED);
        ppi_show_seats(supervisor);
        fill_up(supervisor);
    }
}

_Noreturn void ppi_supervisor_run(const struct ppi_heritage *heritage)
{
    static struct ppi_supervisor supervisor; /* this process has no other */

    ppi_become_supervisor();
    if (supervisor.heritage) /* a task has made a pool; otherwise it is zero */
        memset(&supervisor, 0, sizeof supervisor);
    PPI_POINT(SUPERVISOR_BORN);
    ppi_begin_supervising(&supervisor, heritage, &ppi_processes);
    if (ppi_segment_confine_supervisor(&supervisor.queue.segment) != 0)
        give_up(&supervisor, 0, -ENOMEM, "cannot protect the shared memory");
    PPI_POINT(SUPERVISOR_CONFINED);
    ppi_supervise(&supervisor);
    PPI_POINT(SUPERVISOR_LEAVES);
    _exit(0);
}
