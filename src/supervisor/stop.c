/* SPDX-License-Identifier: MIT */
/*
 * Stopping tasks: at their time limits, and when they are cancelled; and finalizers.
 *
 * Nothing is polled.  A worker that begins an item with a time limit says since when it
 * runs, fences, and looks when the supervisor will look next: if that is too late it
 * wakes it.  The supervisor says when it will look next, fences, and looks whether that
 * is early enough: one of the two sees the other.  For a stream of items with the same
 * limit that is one look per limit, however short they are.
 *
 * What is stopped is this item of this position (a limit) or this position (cancel), and
 * nothing else: see src/worker/stop.c.  Only what the worker itself says of its task is
 * looked at; a worker that lies harms nothing but the limits of its own tasks.
 *
 * A worker that runs the pool's finalizer has no more task.  It says so and wakes us; its
 * time begins when we see it.
 */
#include "base/clock.h"
#include "base/point.h"
#include "queue/wake.h"
#include "supervisor/supervisor.h"

/* What a living worker is running. */
struct running {
    uint64_t position;
    uint64_t item, started; /* of one with a time limit that is running now, or 0 */
    const struct ppi_slot_shm *slot;
};

static uint64_t load(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_acquire);
}

/* Whether the worker on a seat runs something, and what. */
static bool look(const struct ppi_supervisor *supervisor, unsigned seat, struct running *running)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(&supervisor->queue, seat);
    uint64_t committed = 0;

    if (!supervisor->places[seat].pid || !ppi_seated(supervisor, seat) ||
        ppi_is_finalizing(ppi_state_of(supervisor, seat)))
        return false;
    running->started = load(&shm->started);
    running->item = load(&shm->item);
    running->position = load(&shm->runs);
    if (running->started != load(&shm->started))
        running->started = 0; /* it has just gone on to another item */
    if (!ppi_is_published(&supervisor->queue, running->position) ||
        !ppi_claimed_by(&supervisor->queue, running->position, seat) ||
        ppi_has_ended(supervisor, seat, running->position, &committed))
        return false;
    running->slot = ppi_queue_slot(&supervisor->queue, running->position);
    return true;
}

/* Whether what a stop means is still running. */
static bool still_runs(const struct ppi_supervisor *supervisor, unsigned seat,
                       const struct ppi_stop *stop)
{
    struct running running;

    if (!look(supervisor, seat, &running) || running.position != stop->position)
        return false;
    return stop->reason == PPI_STOP_CANCEL ||
           (running.started == stop->started && running.item == stop->item);
}

/* Moves a seat's stop word on to the next with these bits, and wakes who waits for that. */
static uint32_t set_word(struct ppi_supervisor *supervisor, unsigned seat, uint32_t bits)
{
    _Atomic uint32_t *stop = &supervisor->queue.control->seats[seat].stop;
    uint32_t word = (atomic_load_explicit(stop, memory_order_relaxed) | PPI_STOP_BITS) + 1 + bits;

    atomic_store(stop, word);
    if (bits != PPI_STOP_MAYBE)
        supervisor->queue.futex->wake(stop, PPI_ALL);
    return word;
}

static void end_stop(struct ppi_supervisor *supervisor, unsigned seat)
{
    supervisor->places[seat].stop.reason = PPI_STOP_NONE;
    PPI_POINT(SUPERVISOR_ENDS_STOP);
    set_word(supervisor, seat, PPI_STOP_OFF);
}

void ppi_forget_stop(struct ppi_supervisor *supervisor, unsigned seat)
{
    if (supervisor->places[seat].stop.reason != PPI_STOP_NONE)
        end_stop(supervisor, seat);
}

static void kill_stopped(struct ppi_place *place)
{
    PPI_POINT(SUPERVISOR_KILLS);
    kill(place->pid, SIGKILL);
    place->stop.kill_at_ns = PPI_NEVER;
}

static void begin_stop(struct ppi_supervisor *supervisor, unsigned seat,
                       enum ppi_reason reason, const struct running *running)
{
    struct ppi_place *place = &supervisor->places[seat];

    place->stop = (struct ppi_stop){ .reason = reason,
                                     .position = running->position,
                                     .item = running->item,
                                     .started = running->started };
    set_word(supervisor, seat, PPI_STOP_MAYBE);
    PPI_POINT(SUPERVISOR_MAY_STOP);
    atomic_thread_fence(memory_order_seq_cst); /* partners: go_on() and begin() in the worker */
    if (!still_runs(supervisor, seat, &place->stop)) {
        end_stop(supervisor, seat);
    } else if (running->slot->grace_ms == 0) {
        kill_stopped(place);
    } else {
        place->stop.kill_at_ns = ppi_now_ns() + running->slot->grace_ms * PPI_MS;
        kill(place->pid, SIGTERM);
        PPI_POINT(SUPERVISOR_TERMINATED);
        place->stop.word = set_word(supervisor, seat, PPI_STOP_TERM);
    }
}

/* Looks at a worker in its grace period; when to do so again. */
static uint64_t go_on_stopping(struct ppi_supervisor *supervisor, unsigned seat, uint64_t now)
{
    struct ppi_place *place = &supervisor->places[seat];
    uint32_t survived = atomic_load_explicit(&ppi_queue_seat(&supervisor->queue, seat)->survived,
                                             memory_order_acquire);

    if (place->stop.kill_at_ns == PPI_NEVER)
        return PPI_NEVER; /* it is as good as dead */
    if (survived == place->stop.word)
        end_stop(supervisor, seat);
    else if (now >= place->stop.kill_at_ns)
        kill_stopped(place); /* also when the item is over: a handler may not come back */
    return place->stop.kill_at_ns;
}

/* Kills a worker whose finalizer has run too long; when to look at it again. */
static uint64_t look_at_finalizer(struct ppi_supervisor *supervisor, unsigned seat, uint64_t now)
{
    struct ppi_place *place = &supervisor->places[seat];
    uint64_t limit = supervisor->heritage->finalizer_ns;

    if (place->finalizer_ends_ns == 0)
        place->finalizer_ends_ns = limit == PPI_NEVER ? PPI_NEVER : now + limit;
    if (now >= place->finalizer_ends_ns) {
        PPI_POINT(SUPERVISOR_ENDS_FINALIZER);
        kill(place->pid, SIGKILL);
        place->overdue = true;
        place->finalizer_ends_ns = PPI_NEVER;
    }
    return place->finalizer_ends_ns;
}

/* Begins to stop what a worker runs, if that is due; when it is to be looked at again. */
static uint64_t look_at(struct ppi_supervisor *supervisor, unsigned seat, uint64_t now)
{
    struct ppi_place *place = &supervisor->places[seat];
    struct running running;
    uint64_t limit = 0;

    if (place->stop.reason != PPI_STOP_NONE)
        limit = go_on_stopping(supervisor, seat, now);
    if (place->stop.reason != PPI_STOP_NONE)
        return limit;
    if (place->pid && ppi_state_of(supervisor, seat) == PPI_SEAT_FINALIZING)
        return look_at_finalizer(supervisor, seat, now);
    if (!look(supervisor, seat, &running))
        return PPI_NEVER;
    limit = running.started > 0 ? running.slot->limit_ns : 0;
    if (ppi_cancelled(&supervisor->queue, running.position) == PPI_NOW)
        begin_stop(supervisor, seat, PPI_STOP_CANCEL, &running);
    else if (limit > 0 && now >= running.started && now - running.started >= limit)
        begin_stop(supervisor, seat, PPI_STOP_LIMIT, &running);
    else
        return limit > 0 ? (running.started < now ? running.started : now) + limit : PPI_NEVER;
    return place->stop.reason != PPI_STOP_NONE ? place->stop.kill_at_ns : PPI_NEVER;
}

/* Looks at all workers; when to look again. */
static uint64_t look_at_all(struct ppi_supervisor *supervisor)
{
    uint64_t now = ppi_now_ns(), next = PPI_NEVER;

    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++) {
        uint64_t at = look_at(supervisor, seat, now);

        next = at < next ? at : next;
    }
    return next;
}

void ppi_look_at_tasks(struct ppi_supervisor *supervisor)
{
    _Atomic uint64_t *looks_at = &supervisor->queue.control->looks_at;
    uint64_t next = look_at_all(supervisor), again = next;

    /* What has begun meanwhile went by what looks_at said then: look once more. */
    do {
        next = again < next ? again : next;
        atomic_store(looks_at, next);
        PPI_POINT(SUPERVISOR_LOOKS);
        atomic_thread_fence(memory_order_seq_cst); /* partner: ppi_begin_limit() */
        again = look_at_all(supervisor);
    } while (again < next);
    supervisor->look_at_ns = next;
}
