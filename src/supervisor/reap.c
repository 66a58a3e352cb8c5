/* SPDX-License-Identifier: MIT */
/*
 * What a dead worker leaves behind.
 *
 * Everything here happens after waitid() has said that the worker is dead, or the
 * kernel that it is exiting and has no other thread, so that its seat cannot change any
 * more.  What it wrote is judged, not believed: an index that makes no sense counts as
 * if it had not been written.  The exit status says nothing of whether a task was lost;
 * the seat does.
 */
#include <procpool.h>
#include <string.h>

#include "base/point.h"
#include "queue/wake.h"
#include "supervisor/supervisor.h"

/* The dead worker, its task, and how far that came: items of [first, end). */
struct remains {
    unsigned seat;
    int status;
    pid_t pid;
    const struct ppi_seat_shm *shm;
    const struct ppi_slot_shm *slot;
    bool seated; /* the worker came as far as making the seat its own */
    uint64_t position;
    uint64_t committed; /* items below have a record of the worker's */
    uint64_t done;      /* items below are done, or have a record; results without one lie in
                           the outbox, or where the slot says */
    bool begun;         /* one of its items was running */
};

static uint64_t load(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_acquire);
}

static void post(struct ppi_supervisor *supervisor, const struct ppi_record_shm *record)
{
    struct ppi_control_shm *control = supervisor->queue.control;

    control->records[supervisor->tail % PPI_CONTROL_RECORDS] = *record;
    PPI_POINT(SUPERVISOR_RECORD_FILLED);
    supervisor->tail++;
    atomic_store_explicit(&control->tail, supervisor->tail, memory_order_release);
    PPI_POINT(SUPERVISOR_RECORDED);
}

/* The item at which the dead worker began with this task. */
static uint64_t first_of(const struct ppi_supervisor *supervisor, const struct remains *remains)
{
    uint64_t slot = remains->position % PPI_WINDOW;

    return supervisor->resumed[slot] == remains->position + 1
               ? load(&supervisor->queue.control->resume[slot])
               : remains->slot->begin;
}

bool ppi_has_ended(const struct ppi_supervisor *supervisor, unsigned seat, uint64_t position,
                   uint64_t *committed)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(&supervisor->queue, seat);
    const struct ppi_slot_shm *slot = ppi_queue_slot(&supervisor->queue, position);
    uint64_t tail = load(&shm->tail);
    const struct ppi_record_shm *last = &shm->records[(tail - 1) % PPI_RECORDS];

    if (tail == 0 || last->position != position)
        return false;
    if (last->first >= *committed && last->first < slot->end &&
        last->count <= slot->end - last->first)
        *committed = last->first + last->count;
    return (last->flags & PPI_LAST) != 0;
}

/*
 * Finds the task that the worker had claimed and not completed; false if there is
 * none.
 */
static bool find_task(const struct ppi_supervisor *supervisor, struct remains *remains)
{
    const struct ppi_queue *queue = &supervisor->queue;
    uint64_t item;

    remains->position = load(&remains->shm->intent);
    if (!remains->seated || !ppi_is_published(queue, remains->position) ||
        !ppi_claimed_by(queue, remains->position, remains->seat))
        return false;
    remains->slot = ppi_queue_slot(queue, remains->position);
    if (atomic_load_explicit(&remains->slot->over, memory_order_relaxed))
        return false;
    remains->committed = first_of(supervisor, remains);
    if (ppi_has_ended(supervisor, remains->seat, remains->position, &remains->committed))
        return false;
    remains->done = remains->committed;
    item = load(&remains->shm->item);
    if (load(&remains->shm->runs) == remains->position && item > remains->done &&
        item <= remains->slot->end && remains->slot->result_kind == PP_VALUE_)
        remains->done = item;
    return true;
}

/* Items were done whose record was not written yet: this is it. */
static void record_done(struct ppi_supervisor *supervisor, struct remains *remains)
{
    uint64_t count = remains->done - remains->committed;
    bool in_place = remains->slot->out != 0;
    uint64_t run_first = load(&remains->shm->run_first);
    uint64_t size = in_place ? 0 : remains->slot->result_size;
    uint64_t at = load(&remains->shm->outbox_at) + (remains->committed - run_first) * size;
    struct ppi_record_shm record = {
        .position = remains->position,
        .first = remains->committed,
        .count = count,
        .payload = at,
        .payload_size = count * size,
        .seat = (uint16_t)remains->seat,
        .outcome = PPI_OK,
        .flags = (remains->done == remains->slot->end ? PPI_LAST : 0) |
                 (in_place ? PPI_IN_PLACE : 0),
    };

    if (count == 0)
        return;
    if (size > 0 && (run_first > remains->committed || at > supervisor->queue.outbox_size ||
                     record.payload_size > supervisor->queue.outbox_size - at)) {
        remains->done = remains->committed; /* nonsense: they were not done, then */
        return;
    }
    if (size > 0 && record.payload_size <= PPI_INLINE_VALUE)
        memcpy(record.value, ppi_queue_outbox(&supervisor->queue, remains->seat) + at,
               record.payload_size);
    post(supervisor, &record);
}

/* What happens to the next count items, of which the first was running. */
static void record(struct ppi_supervisor *supervisor, const struct remains *remains,
                   enum ppi_outcome outcome, uint64_t count)
{
    struct ppi_record_shm record = {
        .position = remains->position,
        .first = remains->done,
        .count = count,
        .payload = (uint64_t)remains->pid,
        .code = remains->status,
        .seat = (uint16_t)remains->seat,
        .outcome = (uint8_t)outcome,
        .flags = remains->done + count == remains->slot->end ? PPI_LAST : 0,
    };

    post(supervisor, &record);
}

/* They end like this. */
static void record_end(struct ppi_supervisor *supervisor, struct remains *remains,
                       enum ppi_outcome outcome, uint64_t count)
{
    record(supervisor, remains, outcome, count);
    remains->done += count;
}

/* Which attempt at an item the dead worker's was. */
static uint32_t attempt_at(const struct ppi_supervisor *supervisor,
                           const struct remains *remains, uint64_t item)
{
    const struct ppi_control_shm *control = supervisor->queue.control;
    uint64_t slot = remains->position % PPI_WINDOW;

    return supervisor->resumed[slot] == remains->position + 1 &&
                   load(&control->resume[slot]) == item
               ? atomic_load_explicit(&control->attempt[slot], memory_order_relaxed)
               : 1;
}

/* Others go on at what is not done, if there is anything. */
static void hand_back(struct ppi_supervisor *supervisor, const struct remains *remains,
                      uint32_t attempt)
{
    if (remains->done == remains->slot->end)
        return;
    ppi_requeue(&supervisor->queue, remains->position, remains->seat, remains->done, attempt);
    PPI_POINT(SUPERVISOR_HANDED_BACK);
    supervisor->resumed[remains->position % PPI_WINDOW] = remains->position + 1;
}

/* Whether the worker had begun what it had claimed, and not left it in good order. */
static bool had_begun(const struct ppi_supervisor *supervisor, const struct remains *remains)
{
    const struct ppi_stop *stop = &supervisor->places[remains->seat].stop;
    enum ppi_seat_state state = ppi_state_of(supervisor, remains->seat);

    /* However it died: it may have been killed when it had said so, and had not exited yet. */
    if (load(&remains->shm->runs) != remains->position || ppi_is_finalizing(state) ||
        state == PPI_SEAT_RETIRED)
        return false;
    /* While another task is being stopped it waits at the flag with this one in hand. */
    return stop->reason == PPI_STOP_NONE || stop->position == remains->position;
}

/* The worker died in an item: was stopped there, or crashed.  Whether that cost it. */
static bool end_item(struct ppi_supervisor *supervisor, struct remains *remains)
{
    const struct ppi_stop *stop = &supervisor->places[remains->seat].stop;
    uint32_t attempt = attempt_at(supervisor, remains, remains->done);

    if (stop->reason == PPI_STOP_CANCEL) {
        record_end(supervisor, remains, PPI_CANCEL, remains->slot->end - remains->done);
        return true;
    }
    if (stop->reason == PPI_STOP_LIMIT && remains->done > stop->item) {
        hand_back(supervisor, remains, 1); /* it waited between this item and the next */
        return false;
    }
    if (stop->reason == PPI_STOP_LIMIT) {
        record_end(supervisor, remains, PPI_TIMEOUT, 1);
    } else if (attempt <= remains->slot->retries) {
        record(supervisor, remains, PPI_RETRY, 1);
        hand_back(supervisor, remains, attempt + 1); /* if it is cancelled, to find that */
        return true;
    } else {
        record_end(supervisor, remains, PPI_CRASH, 1);
    }
    hand_back(supervisor, remains, 1);
    return true;
}

/* Ends or hands back what the worker had claimed; whether that cost an item. */
static bool settle(struct ppi_supervisor *supervisor, struct remains *remains)
{
    if (!find_task(supervisor, remains)) {
        remains->position = PPI_NO_POSITION;
        return false;
    }
    if (!had_begun(supervisor, remains)) { /* nothing was lost */
        remains->done = remains->committed;
        hand_back(supervisor, remains, attempt_at(supervisor, remains, remains->done));
        return false;
    }
    PPI_POINT(SUPERVISOR_FOUND_TASK);
    record_done(supervisor, remains);
    PPI_POINT(SUPERVISOR_RECORDED_DONE);
    if (remains->done == remains->slot->end || supervisor->killing)
        return false; /* in the latter case the client says how what is left has ended */
    remains->begun = true;
    return end_item(supervisor, remains);
}

bool ppi_seated(const struct ppi_supervisor *supervisor, unsigned seat)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(&supervisor->queue, seat);

    return atomic_load_explicit(&shm->incarnation, memory_order_acquire) ==
           supervisor->places[seat].incarnation;
}

enum ppi_seat_state ppi_state_of(const struct ppi_supervisor *supervisor, unsigned seat)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(&supervisor->queue, seat);

    return ppi_seated(supervisor, seat)
               ? (enum ppi_seat_state)atomic_load_explicit(&shm->state, memory_order_acquire)
               : PPI_SEAT_STARTING;
}

bool ppi_is_finalizing(enum ppi_seat_state state)
{
    return state == PPI_SEAT_FINALIZING || state == PPI_SEAT_RAISED;
}

/* What the worker was doing when it died, or what we have killed it for. */
static pp_cause cause_of(const struct ppi_supervisor *supervisor, const struct remains *remains)
{
    enum ppi_seat_state state = ppi_state_of(supervisor, remains->seat);

    switch (supervisor->places[remains->seat].stop.reason) {
    case PPI_STOP_LIMIT:
        return PP_DIED_AT_LIMIT;
    case PPI_STOP_CANCEL:
        return PP_DIED_CANCELLED;
    default:
        return remains->begun                                           ? PP_DIED_IN_TASK
               : state == PPI_SEAT_STARTING || state == PPI_SEAT_FAILED ? PP_DIED_IN_INITIALIZER
               : ppi_is_finalizing(state)                               ? PP_DIED_IN_FINALIZER
                                                                        : PP_DIED_IDLE;
    }
}

static uint8_t flags_of_death(const struct ppi_supervisor *supervisor,
                              const struct remains *remains)
{
    bool overdue = supervisor->places[remains->seat].overdue;
    bool retired = ppi_state_of(supervisor, remains->seat) == PPI_SEAT_RETIRED;

    if (supervisor->killing)
        return PPI_ENDED;
    if (retired && (remains->status == 0 || overdue)) /* in the latter case we came too late */
        return PPI_IN_ORDER;
    return overdue ? PPI_OVERDUE : 0;
}

static void record_death(struct ppi_supervisor *supervisor, const struct remains *remains)
{
    struct ppi_record_shm record = {
        .position = supervisor->places[remains->seat].incarnation,
        .first = load(remains->seated ? &remains->shm->tail
                                      : &supervisor->queue.shm->acks[remains->seat].taken),
        .count = remains->done,
        .payload_size = remains->position,
        .payload = (uint64_t)remains->pid,
        .code = remains->status,
        .seat = (uint16_t)remains->seat,
        .outcome = PPI_DEATH,
        .flags = flags_of_death(supervisor, remains),
        .value = { (unsigned char)cause_of(supervisor, remains) },
    };

    post(supervisor, &record);
}

bool ppi_reap_worker(struct ppi_supervisor *supervisor, unsigned seat, int status)
{
    struct ppi_place *place = &supervisor->places[seat];
    struct remains remains = {
        .seat = seat,
        .status = status,
        .pid = place->pid,
        .shm = ppi_queue_seat(&supervisor->queue, seat),
        .seated = ppi_seated(supervisor, seat),
        .position = PPI_NO_POSITION,
    };
    bool cost = settle(supervisor, &remains);

    PPI_POINT(SUPERVISOR_SETTLED);
    record_death(supervisor, &remains);
    PPI_POINT(SUPERVISOR_RECORDED_DEATH);
    ppi_forget_stop(supervisor, seat);
    place->pid = 0;
    supervisor->has_id[place->id] = false;
    supervisor->alive--;
    supervisor->dismissed -= place->dismissed;
    atomic_store_explicit(&supervisor->queue.control->seats[seat].state, PPI_DEAD,
                          memory_order_release);
    PPI_POINT(SUPERVISOR_SAID_DEAD);
    ppi_forget_sleeper(&supervisor->queue, seat);
    PPI_POINT(SUPERVISOR_WAKES);
    if (supervisor->ending)
        ppi_wake_to_end(&supervisor->queue, 2); /* it may have died before it did */
    else if (!supervisor->killing)
        ppi_wake_all(&supervisor->queue); /* when all end nothing is left to be missed */
    PPI_POINT(SUPERVISOR_REAPED);
    return cost;
}

int ppi_find_seat(const struct ppi_supervisor *supervisor, pid_t pid)
{
    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++)
        if (supervisor->places[seat].pid == pid)
            return (int)seat;
    return -1;
}
