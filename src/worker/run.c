/* SPDX-License-Identifier: MIT */
/*
 * Running a task and committing what becomes of it.
 *
 * A task is a chunk of items; a single call is a chunk of one.  Results of a fixed
 * size are gathered in runs: an array in the outbox, then one record for the whole
 * run; those that go to shared memory are stored there, and the whole chunk is a run.
 * Strings and bytes are committed item by item.  An item that raises ends the
 * run before it.
 *
 * The seat says at any moment how far things are, for the reap of a worker that
 * dies: item is stored after an item's result, and a run's place before its first.
 */
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>

#include "base/point.h"
#include "worker/worker.h"

/* The most bytes of results in a run: few enough to stay in a cache. */
#define RUN_BYTES ((size_t)128 << 10)

static void note(_Atomic uint64_t *field, uint64_t value)
{
    atomic_store_explicit(field, value, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* see struct ppi_seat_shm */
}

static void note_item(struct ppi_worker *worker, uint64_t item)
{
    worker->item = item;
    note(&worker->seat.shm->item, item);
}

/*
 * Calls the task's function for the current item.  The worker is in the task for no longer
 * than that: a handler of SIGTERM may raise at any moment.
 */
static void call(struct ppi_worker *worker, const void *arguments, void *value)
{
    void (*run)(const void *, void *) = (void (*)(const void *, void *))worker->slot->run;

    if (worker->timed)
        ppi_begin_limit(worker);
    PPI_POINT(WORKER_CALLS);
    worker->activity = PPI_IN_TASK;
    run(arguments, value);
    PPI_POINT(WORKER_RETURNED);
    worker->activity = PPI_BETWEEN;
    atomic_signal_fence(memory_order_seq_cst); /* before the item is said to be over */
    if (worker->timed)
        ppi_end_limit(worker);
}

/* The current item is over. */
static void go_on(struct ppi_worker *worker)
{
    worker->item++;
    if (!worker->timed) {
        note(&worker->seat.shm->item, worker->item);
        return;
    }
    atomic_store_explicit(&worker->seat.shm->item, worker->item, memory_order_release);
    PPI_POINT(WORKER_ITEM_OVER);
    atomic_thread_fence(memory_order_seq_cst); /* partner: begin_stop() */
    ppi_wait_while_stopped(worker);
}

static bool is_cancelled(const struct ppi_worker *worker)
{
    return ppi_is_cancelled(worker->cancel, worker->position);
}

static const void *arguments_of(const struct ppi_worker *worker, uint64_t item)
{
    return worker->seat.queue->segment.base + worker->slot->args +
           (item - worker->slot->begin) * worker->slot->stride;
}

static uint64_t segment_offset(const struct ppi_worker *worker, const void *data)
{
    return (uintptr_t)data - (uintptr_t)worker->seat.queue->segment.base;
}

/* What the task has printed is there when its outcome is. */
static void flush_output(void)
{
    if (__fpending(stdout) > 0)
        fflush(stdout);
}

/* Commits items [first, first + count) with this payload, and frees its room after it. */
static void commit(struct ppi_worker *worker, struct ppi_record_shm *record, uint64_t first,
                   uint64_t count, const void *payload, size_t size)
{
    record->position = worker->position;
    record->first = first;
    record->count = count;
    record->seat = (uint16_t)worker->seat.index;
    record->payload_size = size;
    if (size <= PPI_INLINE_VALUE)
        memcpy(record->value, payload ? payload : "", payload ? size : 0);
    else if (record->flags & PPI_IN_ARGS)
        record->payload = segment_offset(worker, payload);
    else
        record->payload = ppi_seat_offset(&worker->seat, payload);
    if (first + count == worker->slot->end) {
        record->flags |= PPI_LAST;
        flush_output();
    }
    ppi_seat_commit(&worker->seat, record, ppi_outbox_mark(&worker->seat.outbox));
    if (record->flags & PPI_LAST)
        return; /* when the next task begins, or there is none */
    PPI_POINT(WORKER_PART_COMMITTED);
    atomic_thread_fence(memory_order_seq_cst); /* partner: the client's announce() */
    ppi_seat_tell_fenced(&worker->seat);
}

/* A payload that lies in the outbox: where it is, or copied there.  NULL: no room. */
static const void *in_outbox(struct ppi_worker *worker, const void *data, size_t size)
{
    const struct ppi_outbox *outbox = &worker->seat.outbox;
    uintptr_t at = (uintptr_t)data, base = (uintptr_t)outbox->base;
    void *copy;

    if (size <= PPI_INLINE_VALUE ||
        (at >= base && at - base < outbox->highest && size <= outbox->highest - (at - base)))
        return data;
    copy = ppi_seat_alloc(&worker->seat, size);
    if (copy)
        memcpy(copy, data, size);
    return copy;
}

/* Whether a payload is part of the arguments: the client has it, and only needs to know. */
static bool in_arguments(const struct ppi_worker *worker, const void *data, size_t size)
{
    uint64_t at = segment_offset(worker, data), end = worker->slot->args_end;

    return size > PPI_INLINE_VALUE && at >= worker->slot->args && at < end && size <= end - at;
}

static void commit_no_room(struct ppi_worker *worker, uint64_t size)
{
    struct ppi_record_shm record = { .outcome = PPI_NO_ROOM };

    commit(worker, &record, worker->item, 1, &size, sizeof size);
    go_on(worker);
}

/* Calls the function for a string or bytes and commits that. */
static void run_variable(struct ppi_worker *worker)
{
    const struct ppi_slot_shm *slot = worker->slot;
    struct ppi_record_shm record = { .outcome = PPI_OK };
    union {
        const char *string;
        pp_bytes bytes;
    } value = { .bytes = { NULL, 0 } };
    const void *data;
    size_t size;

    call(worker, arguments_of(worker, worker->item), &value);
    if (slot->result_kind == PP_STRING_) {
        data = value.string;
        size = data ? strlen(data) + 1 : 0;
        record.flags = data ? 0 : PPI_NULL;
    } else {
        data = value.bytes.data;
        size = value.bytes.size;
    }
    if (in_arguments(worker, data, size))
        record.flags |= PPI_IN_ARGS;
    else
        data = size > 0 ? in_outbox(worker, data, size) : NULL;
    if (size > 0 && !data) {
        commit_no_room(worker, size);
        return;
    }
    commit(worker, &record, worker->item, 1, data, size);
    go_on(worker);
}

/* Whether results go to shared memory. */
static bool in_place(const struct ppi_worker *worker)
{
    return worker->slot->out != 0;
}

/* The run is of the next count items. */
static void set_run(struct ppi_worker *worker, uint64_t count)
{
    worker->run_first = worker->item;
    worker->run_end = worker->item + count;
    note(&worker->seat.shm->run_first, worker->run_first);
}

/* Makes room for the results of the items that come next. */
static bool begin_run(struct ppi_worker *worker)
{
    size_t size = worker->slot->result_size, count = worker->stop - worker->item;

    if (in_place(worker)) {
        worker->out = worker->seat.queue->segment.base + worker->slot->out + worker->item * size;
        set_run(worker, count);
        return true;
    }
    if (size > 0 && count > 1 && count > RUN_BYTES / size)
        count = RUN_BYTES / size > 0 ? RUN_BYTES / size : 1;
    worker->out = count == 1 && size <= PPI_INLINE_VALUE ? (char *)worker->value
                  : size == 0                            ? NULL
                  : ppi_seat_alloc(&worker->seat, count * size);
    if (!worker->out && size > 0)
        return false;
    if (worker->out && worker->out != (char *)worker->value)
        note(&worker->seat.shm->outbox_at, ppi_seat_offset(&worker->seat, worker->out));
    PPI_POINT(WORKER_HAS_ROOM);
    set_run(worker, count);
    return true;
}

/* Commits what the run has done until now. */
static void commit_run(struct ppi_worker *worker)
{
    struct ppi_record_shm record = { .outcome = PPI_OK };
    uint64_t count = worker->item - worker->run_first;
    size_t size = count * worker->slot->result_size;

    if (in_place(worker)) { /* they are where they belong */
        record.flags = PPI_IN_PLACE;
        size = 0;
    } else if (worker->out && worker->out != (char *)worker->value) {
        ppi_outbox_trim(&worker->seat.outbox, worker->out, size);
    }
    if (count == 0)
        return;
    PPI_POINT(WORKER_RUN_OVER);
    commit(worker, &record, worker->run_first, count, worker->out, size);
    worker->run_first = worker->item;
}

/*
 * One small result goes into the record itself, so that it does not count as done
 * before it is committed.
 */
static void run_inline(struct ppi_worker *worker)
{
    const struct ppi_slot_shm *slot = worker->slot;
    struct ppi_record_shm record = { .outcome = PPI_OK };

    call(worker, arguments_of(worker, worker->item), worker->value);
    commit(worker, &record, worker->item, 1, worker->value, slot->result_size);
    worker->run_first = worker->item + 1;
    go_on(worker);
}

/* The items of a run, one after the other; with nothing more to do for each than it must. */
static void run_items(struct ppi_worker *worker, const char *arguments, char *out)
{
    const struct ppi_slot_shm *slot = worker->slot;
    void (*const run)(const void *, void *) = (void (*)(const void *, void *))slot->run;
    const _Atomic uint64_t *cancel = worker->cancel;
    const uint64_t end = worker->run_end, position = worker->position;
    const size_t stride = slot->stride, size = slot->result_size;
    _Atomic uint64_t *place = &worker->seat.shm->item;
    uint64_t item = worker->item;

    worker->activity = PPI_IN_TASK;
    while (item < end && !ppi_is_cancelled(cancel, position)) {
        PPI_POINT(WORKER_RUN_CALLS);
        run(arguments, out);
        PPI_POINT(WORKER_RUN_RETURNED);
        note(place, ++item);
        PPI_POINT(WORKER_RUN_NOTED);
        arguments += stride;
        out += size;
    }
    worker->activity = PPI_BETWEEN;
    worker->item = item;
}

/* The same where each may have a time limit, or raise because it gets SIGTERM. */
static void run_items_with_care(struct ppi_worker *worker, const char *arguments, char *out)
{
    while (worker->item < worker->run_end && !is_cancelled(worker)) {
        call(worker, arguments, out);
        go_on(worker);
        arguments += worker->slot->stride;
        out += worker->slot->result_size;
    }
}

static void run_fixed(struct ppi_worker *worker)
{
    char nothing[sizeof(void *)]; /* what a void function "returns" */
    const char *arguments = arguments_of(worker, worker->item);
    char *out;

    if (!begin_run(worker)) {
        commit_no_room(worker, worker->slot->result_size);
        return;
    }
    out = worker->out ? worker->out : nothing;
    if (out == (char *)worker->value) {
        run_inline(worker);
        return;
    }
    if (worker->timed || worker->slot->grace_ms > 0)
        run_items_with_care(worker, arguments, out);
    else
        run_items(worker, arguments, out);
    commit_run(worker);
}

/* The item called pp_raise(): what was done before it counts, and then this. */
static void commit_raise(struct ppi_worker *worker)
{
    struct ppi_record_shm record = { .outcome = PPI_RAISE, .code = worker->code };
    size_t size = strlen(worker->message) + 1;
    const void *message;

    PPI_POINT(WORKER_RAISED);
    worker->activity = PPI_BETWEEN;
    ppi_end_limit(worker);
    worker->item = atomic_load_explicit(&worker->seat.shm->item, memory_order_relaxed);
    if (worker->slot->result_kind == PP_VALUE_)
        commit_run(worker);
    message = in_outbox(worker, worker->message, size);
    if (!message) { /* better short than lost */
        message = worker->message;
        worker->message[PPI_INLINE_VALUE - 1] = '\0';
        size = PPI_INLINE_VALUE;
    }
    commit(worker, &record, worker->item, 1, message, size);
    worker->run_first = worker->item + 1;
    go_on(worker);
}

/* The task was cancelled: what is left of it is not run. */
static void commit_cancel(struct ppi_worker *worker)
{
    struct ppi_record_shm record = { .outcome = PPI_CANCEL };
    uint64_t end = worker->slot->end;

    PPI_POINT(WORKER_CANCELS);
    commit(worker, &record, worker->item, end - worker->item, NULL, 0);
    worker->items -= end - worker->item; /* they were not run, and will be counted */
    note_item(worker, end);
}

/* Tells the supervisor what is going to run, and looks whether it may. */
static void begin(struct ppi_worker *worker, const struct ppi_start *start)
{
    struct ppi_seat_shm *seat = worker->seat.shm;

    worker->slot = ppi_queue_slot(worker->seat.queue, start->position);
    worker->cancel =
        &worker->seat.queue->shm->cancels[start->position % PPI_WINDOW];
    worker->timed = worker->slot->limit_ns > 0;
    worker->position = start->position;
    worker->first = worker->run_first = start->first;
    worker->attempt = start->attempt;
    worker->out = NULL;
    worker->stop = worker->slot->end;
    if (worker->limited && worker->stop - start->first > worker->left)
        worker->stop = start->first + worker->left;
    PPI_POINT(WORKER_KNOWS_TASK);
    note(&seat->run_first, start->first);
    note_item(worker, start->first);
    PPI_POINT(WORKER_ITEM_NOTED);
    atomic_thread_fence(memory_order_release); /* partner: flight_on() in the client */
    note(&seat->runs, start->position); /* from here on it runs: a death costs the item */
    PPI_POINT(WORKER_RUNS);
    /* Partners: begin_stop() and ppi_look_at_tasks() in the supervisor; and, for what the
       last task has committed, the client's announce(). */
    atomic_thread_fence(memory_order_seq_cst);
    ppi_seat_tell_fenced(&worker->seat);
    PPI_POINT(WORKER_TOLD);
    ppi_wait_while_stopped(worker);
}

/* For those who look into the pool.  Partner: the client's tally_of(). */
static void count(struct ppi_worker *worker, uint64_t items)
{
    struct ppi_seat_shm *seat = worker->seat.shm;

    worker->tasks++;
    worker->items += items;
    atomic_store_explicit(&seat->tasks, worker->tasks, memory_order_relaxed);
    atomic_store_explicit(&seat->items, worker->items, memory_order_relaxed);
    atomic_store_explicit(&seat->counted, worker->position, memory_order_release);
}

void ppi_run_task(struct ppi_worker *worker, const struct ppi_start *start)
{
    uint64_t ran;

    begin(worker, start);
    PPI_POINT(WORKER_BEGINS);
    if (setjmp(worker->raised))
        commit_raise(worker);
    while (worker->item < worker->stop)
        if (is_cancelled(worker))
            commit_cancel(worker);
        else if (worker->slot->result_kind == PP_VALUE_)
            run_fixed(worker);
        else
            run_variable(worker);
    PPI_POINT(WORKER_TASK_OVER);
    ran = worker->item - worker->first;
    worker->left -= ran < worker->left ? ran : worker->left;
    count(worker, ran);
}
