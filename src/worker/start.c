/* SPDX-License-Identifier: MIT */
/* A worker's life: start, initializer, tasks, end. */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/point.h"
#include "base/random.h"
#include "queue/wake.h"
#include "worker/worker.h"

void ppi_worker_init(struct ppi_worker *worker, struct ppi_queue *queue, unsigned seat,
                     uint32_t incarnation, uint64_t max_items)
{
    if (worker->seat.queue) /* a task has made a pool, whose workers inherit this */
        memset(worker, 0, sizeof *worker);
    ppi_seat_init(&worker->seat, queue, seat, incarnation);
    ppi_claimer_init(&worker->claimer, queue, seat);
    worker->id = atomic_load_explicit(&queue->control->seats[seat].id, memory_order_relaxed);
    worker->life = atomic_load_explicit(&queue->control->seats[seat].life, memory_order_relaxed);
    worker->pid = getpid();
    worker->activity = PPI_BETWEEN;
    worker->limited = max_items > 0;
    worker->left = max_items;
    ppi_current_worker = worker;
}

static bool retired(const struct ppi_worker *worker)
{
    return (worker->limited && worker->left == 0) || ppi_is_dismissed(&worker->claimer);
}

void ppi_worker_loop(struct ppi_worker *worker)
{
    struct ppi_start start;

    while (!retired(worker)) {
        if (ppi_claim(&worker->claimer, &start)) {
            PPI_POINT(WORKER_HAS_TASK);
            ppi_pass_on(&worker->claimer);
            PPI_POINT(WORKER_PASSED_ON);
            ppi_run_task(worker, &start);
            worker->idler.tasks++;
            PPI_POINT(WORKER_DONE);
            continue;
        }
        ppi_seat_tell(&worker->seat);
        if (ppi_told_to_end(worker->seat.queue)) {
            PPI_POINT(WORKER_TOLD_TO_END);
            ppi_wake_to_end(worker->seat.queue, 2);
            return;
        }
        PPI_POINT(WORKER_IDLE);
        ppi_answer_stop(worker);
        ppi_idle(&worker->idler, &worker->claimer);
    }
    PPI_POINT(WORKER_RETIRES);
    ppi_seat_tell(&worker->seat);
    ppi_pass_on(&worker->claimer); /* it may have been woken for a task, and leaves it */
}

/* A worker that cannot start, or not end, says why. */
static void fail(struct ppi_worker *worker, enum ppi_seat_state state, int code)
{
    struct ppi_seat_shm *seat = worker->seat.shm;

    seat->code = code;
    snprintf(seat->message, sizeof seat->message, "%s", worker->message);
    PPI_POINT(WORKER_FAILS);
    atomic_store_explicit(&seat->state, state, memory_order_release);
}

/* snprintf() would touch more pages than all else that a worker does before it is ready. */
static void append_number(char *text, unsigned number)
{
    char *end = text + strlen(text);

    for (unsigned rest = number; rest >= 10; rest /= 10)
        end++;
    do
        *end-- = (char)('0' + number % 10);
    while ((number /= 10) > 0);
}

/* What a worker must not share with its supervisor. */
static void leave_supervisor(const struct ppi_heritage *heritage, pid_t supervisor)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    PPI_POINT(WORKER_BOUND);
    if (getppid() != supervisor) /* it died before this took effect */
        _exit(1);
    close(heritage->client);
    close(heritage->poke); /* others keep the readers: we only write */
    if (heritage->queue.event.reader >= 0)
        close(heritage->queue.event.reader);
    signal(SIGCHLD, SIG_DFL); /* the supervisor has reset all others */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    PPI_POINT(WORKER_LEFT_SUPERVISOR);
}

/* Whether the initializer succeeded.  Where pp_raise() in it arrives. */
static bool initialize(struct ppi_worker *worker, const struct ppi_heritage *heritage)
{
    worker->seed = ppi_worker_seed(heritage->seed, worker->id, worker->life);
    worker->activity = PPI_INITIALIZING;
    if (setjmp(worker->raised)) {
        worker->activity = PPI_BETWEEN;
        fail(worker, PPI_SEAT_FAILED, worker->code ? worker->code : EINVAL);
        return false;
    }
    PPI_POINT(WORKER_INITIALIZES);
    worker->code = heritage->initializer ? heritage->initializer(heritage->initarg) : 0;
    PPI_POINT(WORKER_INITIALIZED);
    worker->activity = PPI_BETWEEN;
    if (worker->code != 0) {
        snprintf(worker->message, sizeof worker->message, "the initializer returned %d",
                 worker->code);
        fail(worker, PPI_SEAT_FAILED, worker->code);
    }
    return worker->code == 0;
}

/*
 * Runs the pool's finalizer, if there is one; whether that came to its end.  Not where the
 * pool is being terminated: a thread comes here then, a process does not live that long.
 */
static bool finalize(struct ppi_worker *worker, const struct ppi_heritage *heritage)
{
    if (!heritage->finalizer || ppi_told_to_stop(worker->seat.queue))
        return true;
    ppi_begin_finalizer(worker);
    worker->activity = PPI_IN_FINALIZER;
    if (setjmp(worker->raised)) {
        worker->activity = PPI_BETWEEN;
        fail(worker, PPI_SEAT_RAISED, worker->code);
        return false;
    }
    PPI_POINT(WORKER_FINALIZES);
    heritage->finalizer(worker->local);
    PPI_POINT(WORKER_FINALIZED);
    worker->activity = PPI_BETWEEN;
    return true;
}

/* Partner: has_started() in the client, which waits for one worker after the other. */
static void become_ready(const struct ppi_worker *worker)
{
    struct ppi_queue *queue = worker->seat.queue;

    atomic_store_explicit(&worker->seat.shm->ready_at, ppi_now_ns(), memory_order_relaxed);
    atomic_store_explicit(&worker->seat.shm->state, PPI_SEAT_READY, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    PPI_POINT(WORKER_READY);
    if (atomic_load_explicit(&queue->shm->awaited, memory_order_relaxed) == worker->seat.index)
        ppi_wake_client(queue);
}

/*
 * Has the kernel wake who sleeps on the word dying when this process, however it ends,
 * begins to: as if it was unlocking a robust mutex.  A task that does that undoes it.
 */
static void announce_death(const struct ppi_queue *queue)
{
    struct robust_list_head *head;
    size_t size;

    if (syscall(SYS_get_robust_list, 0, &head, &size) == 0 && head)
        head->list_op_pending =
            (void *)((char *)&queue->control->dying - head->futex_offset);
}

/* If that cannot be any more, it runs where it may. */
static void pin(const struct ppi_worker *worker)
{
    const struct ppi_queue *queue = worker->seat.queue;
    uint32_t id = atomic_load_explicit(&queue->control->seats[worker->seat.index].id,
                                       memory_order_relaxed);

    if (queue->shm->pin_count > 0)
        ppi_pin_to_cpu(queue->shm->pins[id % queue->shm->pin_count]);
}

/* The life of a worker that has a seat; its exit status. */
static int live(struct ppi_worker *worker, const struct ppi_heritage *heritage)
{
    bool well;

    pin(worker);
    if (!initialize(worker, heritage))
        return 1;
    pthread_sigmask(SIG_SETMASK, NULL, &worker->mask);
    become_ready(worker);
    ppi_worker_loop(worker);
    PPI_POINT(WORKER_LEAVES);
    well = finalize(worker, heritage);
    fflush(stdout);
    if (well)
        atomic_store_explicit(&worker->seat.shm->state, PPI_SEAT_RETIRED, memory_order_release);
    PPI_POINT(WORKER_RETIRED);
    return !well;
}

/* The same for a process of its own. */
static _Noreturn __attribute__((noinline)) void live_alone(const struct ppi_heritage *heritage,
                                                           unsigned seat, uint32_t incarnation,
                                                           pid_t supervisor,
                                                           const void *stack_end)
{
    static struct ppi_worker worker; /* this process has no other */
    static struct ppi_queue queue;
    char name[] = "pp-worker-\0\0\0\0\0"; /* the kernel takes no more */

    queue = heritage->queue;
    queue.supervisor = supervisor;
    append_number(name, queue.control->seats[seat].id);
    prctl(PR_SET_NAME, name);
    /* As the supervisor does, which may come to it only when we have run something. */
    atomic_store_explicit(&queue.control->seats[seat].pid, getpid(), memory_order_relaxed);
    PPI_POINT(WORKER_NAMED);
    if (ppi_segment_confine_worker(&queue.segment, seat) != 0)
        _exit(1);
    PPI_POINT(WORKER_CONFINED);
    ppi_worker_init(&worker, &queue, seat, incarnation, heritage->max_items);
    PPI_POINT(WORKER_SEATED);
    announce_death(&queue);
    ppi_watch_for_crashes(&worker, stack_end, heritage->libc_words);
    PPI_POINT(WORKER_WATCHED);
    _exit(live(&worker, heritage));
}

/*
 * The outermost frame of a worker: says to who unwinds the stack that it ends here.  Beyond
 * are frames of the client, copied with its stack, and an exception that no task catches
 * would find a handler in them and go on there.
 */
static _Noreturn __attribute__((noinline)) void begin(const struct ppi_heritage *heritage,
                                                      unsigned seat, uint32_t incarnation,
                                                      pid_t supervisor)
{
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#if defined(__x86_64__)
    __asm__ volatile(".cfi_undefined rip");
#elif defined(__aarch64__)
    __asm__ volatile(".cfi_undefined x30");
#endif
#endif
    live_alone(heritage, seat, incarnation, supervisor,
               (void **)__builtin_frame_address(0) + 2 /* what every frame has at its end */);
    __asm__ volatile(""); /* live_alone() does not take the place of this frame */
}

_Noreturn void ppi_worker_run(const struct ppi_heritage *heritage, unsigned seat,
                              uint32_t incarnation, pid_t supervisor)
{
    leave_supervisor(heritage, supervisor);
    begin(heritage, seat, incarnation, supervisor);
}

_Noreturn void ppi_spare_run(const struct ppi_heritage *heritage, uint32_t number,
                             pid_t supervisor)
{
    const struct ppi_control_shm *control = heritage->queue.control;
    uint32_t call;

    leave_supervisor(heritage, supervisor);
    prctl(PR_SET_NAME, "pp-spare");
    PPI_POINT(SPARE_WAITS);
    /* Partner: call_spare() in the supervisor.  Until then it may write what that may, but
       nothing of the user's runs. */
    while ((call = atomic_load_explicit(&control->call, memory_order_acquire)) != number)
        heritage->queue.futex->wait(&control->call, call, PPI_NEVER);
    PPI_POINT(SPARE_CALLED);
    begin(heritage, control->called_to_seat, control->called_incarnation, supervisor);
}

int ppi_worker_thread(const struct ppi_heritage *heritage, unsigned seat, uint32_t incarnation)
{
    struct ppi_worker *worker = calloc(1, sizeof *worker);
    struct ppi_queue queue = heritage->queue;
    int status = 1;

    atomic_store_explicit(&queue.control->seats[seat].pid, gettid(), memory_order_relaxed);
    if (worker) {
        ppi_worker_init(worker, &queue, seat, incarnation, heritage->max_items);
        status = live(worker, heritage);
    }
    free(worker);
    ppi_current_worker = NULL;
    return status;
}

struct ppi_worker *ppi_inline_new(struct ppi_heritage *heritage, int *code,
                                  char message[PPI_MESSAGE_SIZE])
{
    struct ppi_worker *worker = calloc(1, sizeof *worker), *before = ppi_current_worker;
    bool initialized;

    if (!worker) {
        *code = ENOMEM;
        snprintf(message, PPI_MESSAGE_SIZE, "there is no memory to start a worker");
        return NULL;
    }
    ppi_worker_init(worker, &heritage->queue, 0, 1, 0);
    initialized = initialize(worker, heritage);
    ppi_current_worker = before;
    if (initialized) {
        atomic_store_explicit(&worker->seat.shm->state, PPI_SEAT_READY, memory_order_release);
        return worker;
    }
    *code = worker->code ? worker->code : EINVAL;
    memcpy(message, worker->message, sizeof worker->message);
    free(worker);
    return NULL;
}

void ppi_inline_step(struct ppi_worker *worker)
{
    struct ppi_worker *before = ppi_current_worker;
    struct ppi_start start;

    worker->outer = before;
    ppi_current_worker = worker;
    if (ppi_claim(&worker->claimer, &start))
        ppi_run_task(worker, &start);
    ppi_current_worker = before;
    worker->outer = NULL;
}

void ppi_inline_free(struct ppi_worker *worker, const struct ppi_heritage *heritage)
{
    struct ppi_worker *before = ppi_current_worker;

    ppi_current_worker = worker;
    finalize(worker, heritage);
    ppi_current_worker = before;
    free(worker);
}
