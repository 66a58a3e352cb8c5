/* SPDX-License-Identifier: MIT */
/*
 * What a completion record says of items.
 *
 * Nothing in it is believed: an index, offset or length that cannot be makes the whole record
 * nonsense.
 */
#include "base/point.h"
#include "client/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "queue/claims.h"

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
void ppi_describe_item(const pp_result *result, size_t index, const char *how, char *text,
                       size_t size)
{
    char item[32] = "";

    if (result->is_chunk)
        index += ppi_chunk_of(result)->first_index;
    if (result->is_chunk || result->count > 1)
        snprintf(item, sizeof item, " with item %zu", index);
    snprintf(text, size, "%s(...)%s %s", result->task->name, item, how);
}

pp_error ppi_describe_timeout(const pp_result *result, size_t index, pid_t pid, char *text,
                              size_t size)
{
    char how[64];

    snprintf(how, sizeof how, "ran longer than its time limit of %g s",
             (double)result->limits.time_ns / 1e9);
    ppi_describe_item(result, index, how, text, size);
    return (pp_error){ .kind = PP_TIMED_OUT, .index = index, .pid = pid, .message = text };
}

struct ppi_dead ppi_dead_of(const struct ppi_record_shm *record)
{
    return (struct ppi_dead){ record->seat, record->code, (pid_t)record->payload };
}

pp_error ppi_describe_crash(const pp_result *result, size_t index, struct ppi_dead death,
                            char *text, size_t size)
{
    const struct ppi_outermost outermost = { ppi_address_there(result->pool, result->task),
                                             result->task->name };
    pp_error error = { .index = index, .pid = death.pid, .message = text };
    char how[PPI_HOW_SIZE];

    ppi_describe_death(result->pool, death.seat, death.status, &outermost, &error, how,
                       sizeof how);
    ppi_describe_item(result, index, how, text, size);
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
        error = ppi_describe_crash(result, record->first, ppi_dead_of(record), text,
                                   sizeof text);
        break;
    case PPI_TIMEOUT:
        error = ppi_describe_timeout(result, record->first, (pid_t)record->payload, text,
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

void ppi_end_complete(pp_pool *pool, struct ppi_flight *flight)
{
    pp_result *result = flight->result;

    if (flight->left > 0)
        return;
    ppi_end_flight(pool, flight);
    PPI_POINT(CLIENT_FLIGHT_ENDED);
    ppi_settle(result);
}

/* The flight that a record is about; NULL if there is none, or it has no such items. */
static struct ppi_flight *flight_of(const pp_pool *pool, const struct ppi_record_shm *record)
{
    struct ppi_flight *flight = &pool->flights[record->position % PPI_WINDOW];

    return !flight->result || flight->position != record->position ||
                   record->first < flight->begin || record->count == 0 ||
                   record->first >= flight->end || record->count > flight->end - record->first
               ? NULL
               : flight;
}

/* The outcome of items; false if the record is nonsense. */
bool ppi_take_outcome(pp_pool *pool, const struct ppi_record_shm *record)
{
    struct ppi_flight *flight = flight_of(pool, record);
    const void *payload;
    pp_result *result;
    bool right;

    if (!flight)
        return false;
    result = flight->result;
    payload = payload_of(pool, record);
    if (!payload && !is_supervisors(record))
        return false;
    if (record->outcome == PPI_OK && !(record->flags & PPI_IN_PLACE) != !result->in_place)
        return false;
    if (record->count > flight->left) /* cannot be: the marks would say so, too */
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
    ppi_end_complete(pool, flight);
    return true;
}

/* Item number i of a record; whether that makes sense. */
static bool take_one(const struct ppi_flight *flight, const struct ppi_record_shm *record,
                     uint64_t i, const char *payload)
{
    size_t each = record->payload_size / record->count;

    return record->outcome == PPI_CANCEL
               ? ppi_skip(flight->result, record->first + i, 1)
               : record->outcome == PPI_OK &&
                     !(record->flags & PPI_IN_PLACE) == !flight->result->in_place &&
                     ppi_succeed(flight->result, record->first + i, 1, payload + i * each,
                                 each, record->flags & PPI_NULL);
}

/* Takes those items of a record that have no outcome; false if all are without, so that
   something else is wrong. */
static bool take_missing(pp_pool *pool, const struct ppi_record_shm *record)
{
    struct ppi_flight *flight = flight_of(pool, record);
    const char *payload = flight ? payload_of(pool, record) : NULL;
    bool any = false;

    for (uint64_t i = 0; payload && i < record->count; i++)
        if (ppi_has_outcome(flight->result, record->first + i))
            any = true;
        else if (flight->left > 0)
            flight->left -= take_one(flight, record, i, payload);
    if (flight)
        ppi_end_complete(pool, flight);
    return any;
}

/*
 * A worker's record; false if it is nonsense.  That items have an outcome already is none if
 * their task is this worker's: one that had it before may have lied to the supervisor when it
 * died, and it was handed back when it was over, or too much of it.
 */
bool ppi_take_record(pp_pool *pool, const struct ppi_record_shm *record)
{
    const struct ppi_flight *flight = &pool->flights[record->position % PPI_WINDOW];

    if (is_supervisors(record))
        return false;
    if (ppi_take_outcome(pool, record))
        return true;
    if (!ppi_claimed_by(pool->queue, record->position, record->seat))
        return false;
    return !flight->result || flight->position != record->position ||
           take_missing(pool, record);
}
