/* SPDX-License-Identifier: MIT */
/*
 * From completion records to outcomes.
 *
 * Records come from the workers' rings and from the supervisor's.  A record is
 * copied first and then looked at (see record.c); the worker of one that is nonsense is
 * ended.
 */
#include "base/point.h"
#include "client/record.h"
#include "queue/wake.h"

static uint64_t load(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_acquire);
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

static bool is_condemned(const pp_pool *pool, unsigned seat, uint32_t incarnation)
{
    return atomic_load_explicit(&pool->queue->shm->acks[seat].condemned,
                                memory_order_relaxed) == incarnation;
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

/* Whether a seat speaks of this incarnation. */
static bool is_seated(const pp_pool *pool, unsigned seat, uint32_t incarnation)
{
    return atomic_load_explicit(&ppi_queue_seat(pool->queue, seat)->incarnation,
                                memory_order_acquire) == incarnation;
}

/* The incarnation whose records lie on a seat; 0 if there are none to look at, or not before
   the supervisor has ended it. */
static uint32_t seated(const pp_pool *pool, unsigned seat)
{
    uint32_t announced = ppi_announced(pool, seat);

    if (announced == pool->released[seat]) /* empty: its own page need not be looked at */
        return 0;
    if (ppi_is_isolated(pool) && is_condemned(pool, seat, announced))
        return 0;
    return is_seated(pool, seat, announced) ? announced : 0;
}

/* There is nothing on seats from this one on. */
static unsigned seats_end(const pp_pool *pool)
{
    unsigned end =
        atomic_load_explicit(&pool->queue->control->seats_end, memory_order_acquire);

    return end < pool->queue->seats ? end : pool->queue->seats;
}

/*
 * Whether a worker speaks of a task that another has, or nobody.  So does one that has died,
 * and whose task was handed back: of that one the supervisor says so with its death.
 */
static bool is_foreign(const pp_pool *pool, const struct ppi_record_shm *record,
                       const struct ppi_record_shm *death)
{
    return ppi_is_isolated(pool) &&
           ppi_held_by_another(pool->queue, record->position, record->seat) &&
           !(death && death->payload_size == record->position);
}

/*
 * Takes a seat's records up to this tail; whether there were any.  With death, that of its
 * worker, they are the last.  Without, all from one that is nonsense on wait for it: who hears
 * of an outcome may give the pool new work, and the worker would die with that.
 */
static bool take_seat(pp_pool *pool, unsigned seat, uint32_t incarnation, uint64_t tail,
                      const struct ppi_record_shm *death)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);
    uint64_t taken = pool->taken[seat];

    if (tail - taken > PPI_RECORDS) {
        ppi_condemn(pool, seat, incarnation);
        return false;
    }
    for (; taken != tail; taken++) {
        struct ppi_record_shm record = shm->records[taken % PPI_RECORDS];

        PPI_POINT(CLIENT_COPIED);
        record.seat = (uint16_t)seat; /* whatever it says */
        if (!is_foreign(pool, &record, death) && ppi_take_record(pool, &record))
            continue;
        ppi_condemn(pool, seat, incarnation);
        if (ppi_is_isolated(pool) && !death)
            break;
    }
    if (taken == pool->taken[seat])
        return false;
    PPI_POINT(CLIENT_TAKEN);
    pool->taken[seat] = taken;
    acknowledge(pool, seat);
    return true;
}

/* ---- The supervisor's ---- */

/* Those items below end that have no outcome have crashed. */
static void crash_missing(pp_pool *pool, struct ppi_flight *flight, uint64_t end,
                          struct ppi_dead death)
{
    pp_result *result = flight->result;
    char text[PPI_MESSAGE_SIZE];

    for (size_t i = flight->begin; i < flight->end && i < end && flight->left > 0; i++) {
        pp_error error;

        if (ppi_has_outcome(result, i))
            continue;
        error = ppi_describe_crash(result, i, death, text, sizeof text);
        flight->left -= ppi_fail(result, &error);
    }
    ppi_end_complete(pool, flight);
}

/*
 * A worker is dead and all that it left has been dealt with.  What it had claimed
 * and is still not complete must be nonsense that it wrote: its missing items have
 * crashed, too.
 */
static void end_claims_of(pp_pool *pool, struct ppi_dead death)
{
    for (size_t slot = 0; slot < ppi_flights_end(pool); slot++) {
        struct ppi_flight *flight = &pool->flights[slot];

        if (!flight->result || !ppi_claimed_by(pool->queue, flight->position, death.seat))
            continue;
        crash_missing(pool, flight, flight->end, death);
    }
}

/*
 * The supervisor has believed records of the dead worker that were nonsense, or there
 * was none where it had to be: these items have crashed, too.
 */
static void end_unrecorded(pp_pool *pool, const struct ppi_record_shm *death)
{
    struct ppi_flight *flight = &pool->flights[death->payload_size % PPI_WINDOW];

    if (!flight->result || flight->position != death->payload_size || flight->withdrawn)
        return;
    if (death->count > flight->begin && death->count <= flight->end)
        flight->others = death->count - flight->begin < UINT32_MAX
                             ? (uint32_t)(death->count - flight->begin)
                             : UINT32_MAX;
    crash_missing(pool, flight, death->count, ppi_dead_of(death));
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
    if (pool->released[record->seat] != incarnation &&
        is_seated(pool, record->seat, incarnation))
        take_seat(pool, record->seat, incarnation, record->first, record);
    PPI_POINT(CLIENT_LAST_TAKEN);
    if (!(record->flags & PPI_ENDED)) {
        end_unrecorded(pool, record);
        end_claims_of(pool, ppi_dead_of(record));
    }
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
    if (record->flags & PPI_ENDED)
        pool->ending = true;
    else if (!(record->flags & PPI_IN_ORDER) || pool->audit_again)
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
        ppi_describe_item(result, index, "was cancelled", text, sizeof text);
    else if (record->outcome == PPI_TIMEOUT)
        ppi_describe_timeout(result, index, 0, text, sizeof text);
    else
        ppi_describe_crash(result, index, ppi_dead_of(record), text, sizeof text);
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
            ppi_take_outcome(pool, &record);
    }
    return true;
}

/*
 * Nobody's records can be taken from a seat.  If its worker had been there before, it has
 * written over what said so: nothing that it does would ever be seen.
 */
static void look_at_unseated(pp_pool *pool, unsigned seat)
{
    uint32_t announced = ppi_announced(pool, seat);

    if (pool->seen[seat] != announced || pool->released[seat] == announced)
        return;
    pool->seen[seat] = 0;
    ppi_condemn(pool, seat, announced);
}

bool ppi_drain(pp_pool *pool)
{
    bool any = take_control(pool);
    unsigned end = seats_end(pool);

    for (unsigned seat = 0; seat < end; seat++) {
        uint32_t incarnation = seated(pool, seat);
        uint64_t tail;

        if (incarnation == 0) {
            look_at_unseated(pool, seat);
            continue;
        }
        pool->seen[seat] = incarnation;
        tail = load(&ppi_queue_seat(pool->queue, seat)->tail);
        /* What the supervisor had recorded of a task before it handed that back comes first:
           of a retry, that is the last chance to know what the item was. */
        if (take_control(pool)) {
            any = true;
            if (seated(pool, seat) != incarnation)
                continue;
        }
        any |= take_seat(pool, seat, incarnation, tail, NULL);
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
