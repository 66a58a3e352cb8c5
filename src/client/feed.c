/* SPDX-License-Identifier: MIT */
/*
 * From results to slots: cuts maps into chunks and puts them, and single calls, into
 * the window of tasks in shared memory.  What does not fit waits in the backlog, in
 * the order in which it was submitted.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/point.h"
#include "client/client.h"
#include "queue/wake.h"

/* So many slots are used at most: the search for a free one stays short. */
#define MOST_USED (PPI_WINDOW - PPI_WINDOW / 4)

/* Bytes of arguments or results that a guided chunk has at most: what a cache can hold. */
#define CHUNK_BYTES ((size_t)128 << 10)

/* Bytes of a waiting map's chunks that are in flight at a time, so that few pages are used. */
#define STAGED_BYTES ((size_t)1 << 20)

/* What a guided chunk should take: long against its cost of a microsecond, and short
   enough that one that takes many times longer than expected does not matter. */
#define CHUNK_NS (2e6)

/* What one should take at least, as far as is known: below that it costs more than to wait
   for the last one. */
#define LEAST_NS (20e3)

/* Work per worker that is kept in flight, for the time until we are awake again. */
#define AHEAD_NS (8e6)

/* A measurement over a shorter time says more of sleeping and waking than of the items. */
#define TELLING_NS PPI_MS

/* ---- Guided chunks ---- */

static bool is_guided(const pp_result *result)
{
    return result->chunksize == 0 && result->count > 1;
}

/* What an item takes a worker, in ns: measured, or remembered from this task's last map;
   0: unknown. */
static double pace_of(const pp_result *result)
{
    const pp_pool *pool = result->pool;

    if (result->done > 0)
        return ppi_worked_ns(pool, result->started_ns) / (double)result->done;
    return pool->known.run == result->task->run ? pool->known.item_ns : 0;
}

void ppi_remember_pace(const pp_result *result)
{
    if (!is_guided(result) || result->cancelled ||
        ppi_now_ns() - result->started_ns < TELLING_NS)
        return;
    result->pool->known.item_ns = pace_of(result);
    result->pool->known.run = result->task->run;
}

bool ppi_feeds_by_pace(const pp_pool *pool)
{
    return !ppi_list_empty(&pool->backlog) &&
           is_guided(PPI_FIRST(&pool->backlog, pp_result, waiting));
}

/* So many items are copied to the workers, or from them, at a time; one at least. */
static size_t copied_items(const pp_result *result)
{
    size_t in = result->items_shared ? 0 : result->task->args_size;
    size_t out = result->in_place ? 0 : result->task->result_size, bytes = in > out ? in : out;
    size_t most = bytes > 0 ? CHUNK_BYTES / bytes : SIZE_MAX;

    return most > 0 ? most : 1;
}

/*
 * Guided self-scheduling (Polychronopoulos and Kuck, 1987): each chunk is a part of
 * what is left, so that they shrink towards the end and all workers end together.  But
 * none takes longer than CHUNK_NS, as far as is known; and as long as nothing is known
 * the first ones grow from a single item on, so that none is much larger than all that
 * its worker has done before.
 */
static size_t guided_chunk(const pp_result *result, double pace)
{
    unsigned workers = ppi_queue_workers(result->pool->queue);
    size_t left = result->count - result->next, chunk = left / (2 * workers);
    size_t doublings = result->cut / workers * 2, most, least = 1;

    if (pace > 0) {
        most = (double)chunk * pace > CHUNK_NS ? (size_t)(CHUNK_NS / pace) : chunk;
        least = (double)left * pace > LEAST_NS ? (size_t)(LEAST_NS / pace) + 1 : left;
    } else {
        most = doublings < 32 ? (size_t)1 << doublings : chunk;
    }
    chunk = chunk < most ? chunk : most;
    chunk = chunk > least ? chunk : least;
    most = copied_items(result);
    return chunk < most ? chunk : most;
}

static size_t chunk_of(const pp_result *result, double pace)
{
    size_t left = result->count - result->next;

    if (result->pool->inliner && result->stop_on_error)
        return 1; /* nobody could stop a chunk in between */
    if (is_guided(result))
        return guided_chunk(result, pace);
    return result->chunksize > 0 && result->chunksize < left ? result->chunksize : left;
}

/* Whether enough guided chunks are in flight, so that the next can wait for what they show. */
static bool is_ahead(const pp_pool *pool, const pp_result *result, double pace)
{
    size_t workers = ppi_queue_workers(pool->queue);

    if (!is_guided(result) || (!result->waits && pool->mode == PP_CALLBACKS_POLL))
        return false; /* in the latter case it is not known when we are here again */
    if (pace == 0)
        return result->in_flight >= 8 * workers;
    return result->in_flight >= 3 * workers &&
           (double)(result->next - result->done) * pace >= AHEAD_NS * (double)workers;
}

/* ---- Feeding ---- */

/* Whether this result should put another chunk into flight now. */
static bool wants_more(const pp_pool *pool, const pp_result *result, double pace)
{
    if (is_ahead(pool, result, pace))
        return false;
    return !result->items || result->block || result->staged < STAGED_BYTES ||
           result->in_flight < 2 * (size_t)ppi_queue_workers(pool->queue);
}

static uint64_t free_position(const pp_pool *pool)
{
    uint64_t position = pool->tail;

    while (pool->flights[position % PPI_WINDOW].result)
        position++; /* a hole: workers pass over it */
    return position;
}

/*
 * Puts the arguments of items [next, next + count) where the slot can say they are;
 * false while there is no room in the arena.
 */
static bool stage(pp_pool *pool, pp_result *result, struct ppi_slot_shm *slot, size_t count,
                  struct ppi_flight *flight)
{
    const pp_task *task = result->task;
    const char *base = pool->queue->segment.base;
    const char *items = result->items;
    size_t size;

    if (result->items_shared) {
        slot->args = (uint64_t)(items + result->next * task->args_size - base);
        return true;
    }
    if (!items) { /* an asynchronous map: encoded as a whole */
        slot->args = result->block ? (uint64_t)((char *)result->block +
                                                result->next * task->args_size - base)
                                   : 0;
        return true;
    }
    items += result->next * task->args_size;
    size = count * task->args_size;
    if (!result->flat)
        ppi_encoded_size(task, items, count, &size); /* looked at when it was submitted */
    pool->counts.bytes_in += size;
    if (size <= PPI_INLINE_ARGS) {
        if (result->flat)
            memcpy(slot->inline_args, items, size);
        else
            ppi_encode(task, items, count, slot->inline_args);
        slot->args = (uint64_t)((char *)slot->inline_args - base);
        return true;
    }
    flight->block = ppi_buddy_alloc(&pool->arena, size);
    if (!flight->block) {
        pool->counts.bytes_in -= size;
        return false;
    }
    ppi_encode(task, items, count, flight->block);
    slot->args = (uint64_t)((char *)flight->block - base);
    flight->staged = size;
    return true;
}

/*
 * The lines that the tasks after this one will be written to are with the workers that have
 * read them last: asked for in time they are here when they are needed.
 */
static void prefetch(const pp_pool *pool, uint64_t position)
{
    const struct ppi_slot_shm *slot = ppi_queue_slot(pool->queue, position + 3);

    __builtin_prefetch(slot, 1);
    __builtin_prefetch(slot->inline_args, 1);
    __builtin_prefetch((void *)&pool->queue->claims->words[(position + 12) % PPI_WINDOW], 1);
    __builtin_prefetch(&pool->flights[(position + 3) % PPI_WINDOW], 1);
}

/*
 * Where a task that returns a string or bytes may find them among its arguments: up to
 * here, from slot->args on.  0: it was given nothing to point to.
 */
static uint64_t end_of_arguments(const pp_pool *pool, const pp_result *result,
                                 const struct ppi_slot_shm *slot,
                                 const struct ppi_flight *flight)
{
    const char *whole = result->items ? NULL : result->block;
    const char *block = flight->block ? flight->block : whole;
    const char *end = block ? block + ppi_buddy_extent(&pool->arena, block)
                            : (const char *)slot->inline_args + sizeof slot->inline_args;

    return slot->args == 0 || result->items_shared
               ? 0
               : (uint64_t)(end - pool->queue->segment.base);
}

/* Says where values go, or may come from. */
static void place_values(const pp_pool *pool, const pp_result *result,
                         struct ppi_slot_shm *slot, const struct ppi_flight *flight)
{
    if (result->task->result_kind != PP_VALUE_)
        slot->args_end = end_of_arguments(pool, result, slot, flight);
    else if (result->in_place)
        slot->out = (uint64_t)((char *)result->values - pool->queue->segment.base);
    else
        slot->out = 0;
}

uintptr_t ppi_address_there(const pp_pool *pool, const pp_task *task)
{
    uintptr_t run = (uintptr_t)task->run;

    return pool->start == PP_SPAWN ? ppi_objects_there(pool->objects, run) : run;
}

/* Submits the next chunk; false while there is no room. */
static bool feed_chunk(pp_pool *pool, pp_result *result, size_t count)
{
    uint64_t position = free_position(pool);
    struct ppi_flight *flight = &pool->flights[position % PPI_WINDOW];
    struct ppi_slot_shm *slot = ppi_queue_slot(pool->queue, position);

    prefetch(pool, position);
    flight->block = NULL;
    flight->staged = 0;
    if (!stage(pool, result, slot, count, flight))
        return false;
    PPI_POINT(CLIENT_STAGED);
    slot->begin = result->next;
    slot->end = result->next + count;
    place_values(pool, result, slot, flight);
    slot->run = ppi_address_there(pool, result->task);
    slot->stride = (uint32_t)result->task->args_size;
    slot->result_size = (uint32_t)result->task->result_size;
    slot->result_kind = (uint8_t)result->task->result_kind;
    slot->limit_ns = result->limits.time_ns;
    slot->grace_ms = result->limits.grace_ms;
    slot->retries = result->limits.retries;
    atomic_store_explicit(&slot->over, 0, memory_order_relaxed);
    flight->result = result;
    flight->withdrawn = false;
    flight->others = 0;
    flight->position = position;
    flight->begin = result->next;
    flight->end = result->next + count;
    flight->left = count;
    if (result->started_ns == 0)
        result->started_ns = ppi_now_for(result);
    result->next += count;
    result->cut++;
    result->in_flight++;
    result->newest = position;
    result->staged += flight->staged;
    pool->used++;
    pool->tail = position + 1;
    PPI_POINT(CLIENT_FILLED);
    ppi_publish(pool->queue, position);
    PPI_POINT(CLIENT_PUBLISHED);
    ppi_ring(pool->queue);
    PPI_POINT(CLIENT_FED);
    return true;
}

/* Its arguments are larger than the arena: no waiting will help. */
static void give_up(pp_result *result)
{
    static const pp_error too_large = {
        .kind = PP_RAISED, .code = ENOMEM, .message = "the arguments are larger than memory"
    };

    ppi_fail_rest(result, &too_large);
    ppi_count_rest(result, result->count - result->next);
    result->next = result->count;
}

/* Submits of one result what there is room for; whether nothing of it is left. */
static bool feed_result(pp_pool *pool, pp_result *result)
{
    double pace = is_guided(result) ? pace_of(result) : 0;

    while (result->next < result->count) {
        if (pool->used >= MOST_USED || !wants_more(pool, result, pace))
            return false;
        if (feed_chunk(pool, result, chunk_of(result, pace)))
            continue;
        if (pool->used > 0)
            return false;
        give_up(result);
    }
    return true;
}

void ppi_feed(pp_pool *pool)
{
    while (!ppi_list_empty(&pool->backlog) && !pool->lost) {
        pp_result *result = PPI_FIRST(&pool->backlog, pp_result, waiting);

        PPI_POINT(CLIENT_FEEDS);
        if (!feed_result(pool, result))
            return;
        ppi_list_remove(&result->waiting);
        if (result->done == result->count) /* it was given up */
            ppi_settle(result);
    }
}

void ppi_submit(pp_pool *pool, pp_result *result)
{
    bool first = ppi_list_empty(&pool->backlog), idle = pool->used == 0;

    pool->open++;
    pool->counts.submitted += result->count;
    if (pool->alone)
        ppi_wake_leader(pool->queue);
    if (result->callback || result->error_callback) {
        result->expected = true;
        pool->expected++;
        ppi_rouse(pool);
    }
    if (result->count == 0) { /* there at once, whoever waits */
        ppi_settle(result);
        return;
    }
    ppi_list_append(&pool->backlog, &result->waiting);
    PPI_POINT(CLIENT_IN_BACKLOG);
    if (first)
        ppi_feed(pool);
    if (idle)
        ppi_loop_begin(pool);
}

void ppi_end_flight(pp_pool *pool, struct ppi_flight *flight)
{
    if (flight->block)
        ppi_buddy_free(&pool->arena, flight->block);
    flight->result->staged -= flight->staged;
    flight->result->in_flight--;
    atomic_store_explicit(&ppi_queue_slot(pool->queue, flight->position)->over, 1,
                          memory_order_relaxed);
    flight->result = NULL;
    flight->block = NULL;
    pool->used--;
}
