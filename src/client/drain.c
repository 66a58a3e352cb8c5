/* SPDX-License-Identifier: MIT */
/*
 * From completion records to outcomes.
 *
 * Records come from the workers' rings and from the supervisor's.  A record is
 * copied first and then looked at, and nothing in it is believed: an index, offset
 * or length that cannot be makes the whole record nonsense, and its worker is ended.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/point.h"
#include "client/client.h"
#include "queue/wake.h"

/* Where a record came from. */
enum source { FROM_WORKER, FROM_SUPERVISOR };

static uint64_t load(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_acquire);
}

/* ---- One record ---- */

/* A value that is part of its task's arguments, or NULL if it would lie outside of them. */
static const void *argument_of(const pp_pool *pool, const struct ppi_record_shm *record)
{
    const struct ppi_slot_shm *slot = ppi_queue_slot(pool->queue, record->position);
    uint64_t at = record->payload;

    if (record->outcome != PPI_OK || slot->result_kind == PP_VALUE_ || at < slot->args ||
        at > slot->args_end || record->payload_size > slot->args_end - at)
        return NULL;
    return pool->queue->segment.base + at;
}

/* The payload's bytes, or NULL if they would lie where they cannot. */
static const void *payload_of(const pp_pool *pool, const struct ppi_record_shm *record)
{
    size_t size = pool->queue->outbox_size;

    if (record->flags & PPI_IN_ARGS)
        return argument_of(pool, record);
    if (record->payload_size <= PPI_INLINE_VALUE)
        return record->value;
    if (record->payload > size || record->payload_size > size - record->payload)
        return NULL;
    return ppi_queue_outbox(pool->queue, record->seat) + record->payload;
}

/* "square(...) with item 3 was ..." */
static void describe(const pp_result *result, size_t index, const char *how, char *text,
                     size_t size)
{
    char item[32] = "";

    if (result->is_chunk)
        index += ppi_chunk_of(result)->first_index;
    if (result->is_chunk || result->count > 1)
        snprintf(item, sizeof item, " with item %zu", index);
    snprintf(text, size, "%s(...)%s %s", result->task->name, item, how);
}

static pp_error describe_timeout(const pp_result *result, size_t index, pid_t pid, char *text,
                                 size_t size)
{
    char how[64];

    snprintf(how, sizeof how, "ran longer than its time limit of %g s",
             (double)result->limits.time_ns / 1e9);
    describe(result, index, how, text, size);
    return (pp_error){ .kind = PP_TIMED_OUT, .index = index, .pid = pid, .message = text };
}

/* How the worker of a seat ended, which had this status: no exit status, the wait's. */
struct death {
    unsigned seat;
    int status;
    pid_t pid;
};

static struct death death_of(const struct ppi_record_shm *record)
{
    return (struct death){ record->seat, record->code, (pid_t)record->payload };
}

static pp_error describe_crash(const pp_result *result, size_t index, struct death death,
                               char *text, size_t size)
{
    const struct ppi_outermost outermost = { ppi_address_there(result->pool, result->task),
                                             result->task->name };
    pp_error error = { .index = index, .pid = death.pid, .message = text };
    char how[PPI_HOW_SIZE];

    ppi_describe_death(result->pool, death.seat, death.status, &outermost, &error, how,
                       sizeof how);
    describe(result, index, how, text, size);
    return error;
}

/* Stores an outcome that is no success; false if it is nonsense. */
static bool fail(pp_pool *pool, pp_result *result, const struct ppi_record_shm *record,
                 const char *payload)
{
    char text[PPI_MESSAGE_SIZE];
    pid_t pid = atomic_load_explicit(&pool->queue->control->seats[record->seat].pid,
                                     memory_order_relaxed);
    pp_error error = { .index = record->first, .pid = pid, .message = text };
    size_t size = record->payload_size < sizeof text ? record->payload_size : sizeof text;
    uint64_t wanted;

    if (record->count != 1)
        return false;
    switch (record->outcome) {
    case PPI_RAISE:
        memcpy(text, payload, size);
        text[size ? size - 1 : 0] = '\0';
        error.kind = PP_RAISED;
        error.code = record->code;
        break;
    case PPI_NO_ROOM:
        memcpy(&wanted, record->value, sizeof wanted);
        snprintf(text, sizeof text, "the result of %llu bytes is larger than memory",
                 (unsigned long long)wanted);
        error.kind = PP_RAISED;
        error.code = ENOMEM;
        break;
    case PPI_CRASH:
        error = describe_crash(result, record->first, death_of(record), text, sizeof text);
        break;
    case PPI_TIMEOUT:
        error = describe_timeout(result, record->first, (pid_t)record->payload, text,
                                 sizeof text);
        break;
    default:
        return false;
    }
    return ppi_fail(result, &error);
}

/* Whether only the supervisor can say this. */
static bool is_supervisors(const struct ppi_record_shm *record)
{
    return record->outcome == PPI_CRASH || record->outcome == PPI_TIMEOUT;
}

/* The outcome of items; false if the record is nonsense. */
static bool take_outcome(pp_pool *pool, const struct ppi_record_shm *record)
{
    struct ppi_flight *flight = &pool->flights[record->position % PPI_WINDOW];
    pp_result *result = flight->result;
    const void *payload;
    bool right;

    if (!result || flight->position != record->position || record->first < flight->begin ||
        record->count == 0 || record->first >= flight->end ||
        record->count > flight->end - record->first)
        return false;
    payload = payload_of(pool, record);
    if (!payload && !is_supervisors(record))
        return false;
    if (record->outcome == PPI_OK && !(record->flags & PPI_IN_PLACE) != !result->in_place)
        return false;
    right = record->outcome == PPI_OK
                ? ppi_succeed(result, record->first, record->count, payload,
                              record->payload_size, record->flags & PPI_NULL)
            : record->outcome == PPI_CANCEL
                ? ppi_skip(result, record->first, record->count)
                : fail(pool, result, record, payload);
    if (!right)
        return false;
    if (record->outcome == PPI_OK)
        pool->counts.bytes_out += record->payload_size;
    PPI_POINT(CLIENT_MARKED);
    flight->left -= record->count;
    if (flight->left == 0) {
        ppi_end_flight(pool, flight);
        PPI_POINT(CLIENT_FLIGHT_ENDED);
        ppi_settle(result);
    }
    return true;
}

/* ---- A worker's records ---- */

/* Tells the worker what is taken.  Partner: wait_for_room() in the worker. */
static void acknowledge(pp_pool *pool, unsigned seat)
{
    struct ppi_ack_shm *ack = &pool->queue->shm->acks[seat];

    atomic_store_explicit(&ack->taken, pool->taken[seat], memory_order_release);
    PPI_POINT(CLIENT_ACKNOWLEDGED);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&ppi_queue_seat(pool->queue, seat)->wants_room,
                             memory_order_relaxed)) {
        atomic_fetch_add(&ack->bell, 1);
        PPI_POINT(CLIENT_ROOM_RUNG);
        pool->queue->futex->wake(&ack->bell, 1);
    }
}

void ppi_condemn(pp_pool *pool, unsigned seat, uint32_t incarnation)
{
    atomic_store_explicit(&pool->queue->shm->acks[seat].condemned, incarnation,
                          memory_order_release);
    PPI_POINT(CLIENT_CONDEMNED);
    ppi_poke(pool);
}

uint32_t ppi_announced(const pp_pool *pool, unsigned seat)
{
    return seat < pool->queue->seats
               ? atomic_load_explicit(&pool->queue->control->seats[seat].incarnation,
                                      memory_order_acquire)
               : 0;
}

/* The incarnation whose records lie on a seat; 0 if there are none to look at. */
static uint32_t seated(const pp_pool *pool, unsigned seat)
{
    uint32_t announced = ppi_announced(pool, seat);

    if (announced == pool->released[seat]) /* empty: its own page need not be looked at */
        return 0;
    return atomic_load_explicit(&ppi_queue_seat(pool->queue, seat)->incarnation,
                                memory_order_acquire) == announced
               ? announced
               : 0;
}

/* There is nothing on seats from this one on. */
static unsigned seats_end(const pp_pool *pool)
{
    unsigned end =
        atomic_load_explicit(&pool->queue->control->seats_end, memory_order_acquire);

    return end < pool->queue->seats ? end : pool->queue->seats;
}

/* Takes a seat's records up to this tail; whether there were any. */
static bool take_seat(pp_pool *pool, unsigned seat, uint32_t incarnation, uint64_t tail)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);
    uint64_t taken = pool->taken[seat];

    if (tail == taken)
        return false;
    if (tail - taken > PPI_RECORDS) {
        ppi_condemn(pool, seat, incarnation);
        return false;
    }
    while (taken != tail) {
        struct ppi_record_shm record = shm->records[taken++ % PPI_RECORDS];

        PPI_POINT(CLIENT_COPIED);
        record.seat = (uint16_t)seat; /* whatever it says */
        if (is_supervisors(&record) || !take_outcome(pool, &record))
            ppi_condemn(pool, seat, incarnation);
    }
    PPI_POINT(CLIENT_TAKEN);
    pool->taken[seat] = taken;
    acknowledge(pool, seat);
    return true;
}

/* ---- The supervisor's ---- */

/*
 * A worker is dead and all that it left has been dealt with.  What it had claimed
 * and is still not complete must be nonsense that it wrote: its missing items have
 * crashed, too.
 */
static void end_claims_of(pp_pool *pool, struct death death)
{
    for (size_t slot = 0; slot < ppi_flights_end(pool); slot++) {
        struct ppi_flight *flight = &pool->flights[slot];
        pp_result *result = flight->result;
        char text[PPI_MESSAGE_SIZE];

        if (!result || !ppi_claimed_by(pool->queue, flight->position, death.seat))
            continue;
        for (size_t i = flight->begin; i < flight->end; i++) {
            pp_error error = describe_crash(result, i, death, text, sizeof text);

            ppi_fail(result, &error); /* does nothing for those that have an outcome */
        }
        ppi_end_flight(pool, flight);
        ppi_settle(result);
    }
}

/*
 * The supervisor has believed records of the dead worker that were nonsense, or there
 * was none where it had to be: these items have crashed, too.
 */
static void end_unrecorded(pp_pool *pool, const struct ppi_record_shm *death)
{
    struct ppi_flight *flight = &pool->flights[death->payload_size % PPI_WINDOW];
    pp_result *result = flight->result;
    char text[PPI_MESSAGE_SIZE];

    if (!result || flight->position != death->payload_size || flight->withdrawn)
        return;
    if (death->count > flight->begin && death->count <= flight->end)
        flight->others = death->count - flight->begin < UINT32_MAX
                             ? (uint32_t)(death->count - flight->begin)
                             : UINT32_MAX;
    for (size_t i = flight->begin; i < death->count && flight->left > 0; i++) {
        pp_error error = describe_crash(result, i, death_of(death), text, sizeof text);

        flight->left -= ppi_fail(result, &error); /* not if it has an outcome */
    }
    if (flight->left == 0) {
        ppi_end_flight(pool, flight);
        ppi_settle(result);
    }
}

static bool is_dismissed(const pp_pool *pool, unsigned seat)
{
    return atomic_load_explicit(&pool->queue->control->seats[seat].dismissed,
                                memory_order_relaxed);
}

static void bury(pp_pool *pool, const struct ppi_record_shm *record)
{
    uint32_t incarnation = (uint32_t)record->position;

    PPI_POINT(CLIENT_BURIES);
    if (seated(pool, record->seat) == incarnation)
        take_seat(pool, record->seat, incarnation, record->first);
    PPI_POINT(CLIENT_LAST_TAKEN);
    if (!(record->flags & PPI_ENDED))
        end_unrecorded(pool, record);
    if (!(record->flags & PPI_ENDED))
        end_claims_of(pool, death_of(record));
    PPI_POINT(CLIENT_CLAIMS_ENDED);
    ppi_note_death(pool, record);
    /* Whatever the dead had claimed to have written, the next begins where we are. */
    atomic_store_explicit(&pool->queue->shm->acks[record->seat].taken,
                          pool->taken[record->seat], memory_order_release);
    PPI_POINT(CLIENT_SEAT_EMPTIED);
    if (is_dismissed(pool, record->seat)) /* it may be long until the seat is used again */
        ppi_segment_release_foreign(ppi_queue_outbox(pool->queue, record->seat),
                                    pool->queue->outbox_size);
    pool->released[record->seat] = incarnation;
    PPI_POINT(CLIENT_BURIED);
    if ((WIFSIGNALED(record->code) || pool->audit_again) && !(record->flags & PPI_ENDED))
        ppi_audit(pool, record->seat);
    atomic_store_explicit(&pool->queue->shm->acks[record->seat].released, incarnation,
                          memory_order_release); /* partner: free_seat() in the supervisor */
    PPI_POINT(CLIENT_RELEASED);
    if (atomic_load_explicit(&pool->queue->shm->command, memory_order_relaxed) < PPI_FINISH)
        ppi_poke(pool); /* it may have waited for a seat */
}

/* The item that a record is about has been its worker's last: for those who hear of deaths. */
static void note_dying(pp_pool *pool, const struct ppi_record_shm *record)
{
    struct ppi_flight *flight = &pool->flights[record->position % PPI_WINDOW];
    pp_result *result = flight->result;
    size_t index = record->first;
    char text[PPI_MESSAGE_SIZE];

    if (record->outcome == PPI_OK || !result || flight->position != record->position)
        return;
    if (record->outcome == PPI_CANCEL)
        describe(result, index, "was cancelled", text, sizeof text);
    else if (record->outcome == PPI_TIMEOUT)
        describe_timeout(result, index, 0, text, sizeof text);
    else
        describe_crash(result, index, death_of(record), text, sizeof text);
    ppi_note_dying(result, index, text);
}

bool ppi_control_news(const pp_pool *pool)
{
    return pool->control_taken != load(&pool->queue->control->tail);
}

static bool take_control(pp_pool *pool)
{
    uint64_t tail = load(&pool->queue->control->tail);

    if (pool->control_taken == tail)
        return false;
    while (pool->control_taken != tail) {
        struct ppi_record_shm record =
            pool->queue->control->records[pool->control_taken++ % PPI_CONTROL_RECORDS];

        PPI_POINT(CLIENT_CONTROL_COPIED);
        if (record.outcome == PPI_DEATH) {
            bury(pool, &record);
            continue;
        }
        if (pool->dying)
            note_dying(pool, &record);
        if (record.outcome != PPI_RETRY)
            take_outcome(pool, &record);
    }
    return true;
}

bool ppi_drain(pp_pool *pool)
{
    bool any = take_control(pool);
    unsigned end = seats_end(pool);

    for (unsigned seat = 0; seat < end; seat++) {
        uint32_t incarnation = seated(pool, seat);
        uint64_t tail;

        if (incarnation == 0)
            continue;
        tail = load(&ppi_queue_seat(pool->queue, seat)->tail);
        /* What the supervisor had recorded of a task before it handed that back comes first:
           of a retry, that is the last chance to know what the item was. */
        if (take_control(pool)) {
            any = true;
            if (seated(pool, seat) != incarnation)
                continue;
        }
        any |= take_seat(pool, seat, incarnation, tail);
    }
    if (pool->audit_again)
        ppi_audit(pool, -1);
    return any;
}

bool ppi_take_in(pp_pool *pool)
{
    bool any = ppi_drain(pool);

    while (!ppi_list_empty(&pool->stopping)) {
        pp_result *result = PPI_FIRST(&pool->stopping, pp_result, stopping);

        ppi_list_remove(&result->stopping);
        ppi_cancel(result, false, "not run: another item has failed");
    }
    return any;
}

bool ppi_news(const pp_pool *pool, uint64_t least)
{
    unsigned end = seats_end(pool);

    if (ppi_control_news(pool))
        return true;
    for (unsigned seat = 0; seat < end; seat++)
        if (seated(pool, seat) != 0 &&
            load(&ppi_queue_seat(pool->queue, seat)->tail) - pool->taken[seat] >= least)
            return true;
    return false;
}
