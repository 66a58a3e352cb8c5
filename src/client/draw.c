/* SPDX-License-Identifier: MIT */
/* From an iterator's items to results: draws chunks and submits them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/point.h"
#include "client/iterator.h"
#include "shm/segment.h"

/* ---- Copies ---- */

/* What a block of copies has at least, and what is kept of them when they are let go. */
#define STASH_BLOCK ((size_t)4 << 10)
#define STASH_KEPT ((size_t)1 << 20)

struct ppi_stash_block {
    struct ppi_stash_block *next;
    size_t size, used;
    _Alignas(16) char data[];
};

/* Blocks do not move: what was copied may be pointed to at once. */
static void *stash_alloc(struct ppi_stash *stash, size_t size)
{
    struct ppi_stash_block *block = stash->blocks;
    size_t room = block ? 2 * block->size : STASH_BLOCK;

    size = ppi_round_up(size, 16);
    if (!block || block->size - block->used < size) {
        room = room < STASH_KEPT ? room : STASH_KEPT;
        room = room < size ? size : room;
        block = malloc(sizeof *block + room);
        if (!block)
            return NULL;
        *block = (struct ppi_stash_block){ .next = stash->blocks, .size = room };
        stash->blocks = block;
    }
    block->used += size;
    return block->data + block->used - size;
}

void ppi_stash_destroy(struct ppi_stash *stash)
{
    struct ppi_stash_block *block;

    while ((block = stash->blocks)) {
        stash->blocks = block->next;
        free(block);
    }
}

/* Lets go of all copies; the last block stays, for the next chunk. */
static void stash_clear(struct ppi_stash *stash)
{
    struct ppi_stash_block *kept = stash->blocks;

    if (!kept)
        return;
    stash->blocks = kept->next;
    ppi_stash_destroy(stash);
    if (kept->size > STASH_KEPT) {
        free(kept);
        return;
    }
    kept->next = NULL;
    kept->used = 0;
    stash->blocks = kept;
}

/*
 * Copies what an item points to, since the function that stored it may use the same
 * memory for the next one.  0 or why the item cannot be submitted.
 */
static int keep_item(pp_iter *iter, char *item)
{
    size_t size;
    int error = ppi_encoded_size(iter->task, item, 1, &size);
    void *copy = error ? NULL : stash_alloc(&iter->stash, size);

    if (error)
        return error;
    if (!copy)
        return -ENOMEM;
    ppi_encode(iter->task, item, 1, copy);
    memcpy(item, copy, iter->task->args_size);
    return 0;
}

/* ---- Whether and how much ---- */

bool ppi_is_cut_off(const pp_iter *iter)
{
    const pp_pool *pool = iter->pool;

    return !iter->ended && (iter->cut || pool->lost || pool->phase == PPI_IS_TERMINATED ||
                            (pool->joined && iter->input));
}

/*
 * Whether what is drawn takes so much memory that the window, which was not asked for,
 * had better be smaller.
 */
static bool is_plenty(const pp_iter *iter)
{
    if (iter->few_each == 0 ||
        iter->unread < iter->few_each * ppi_queue_workers(iter->pool->queue))
        return false;
    return iter->held >= PPI_PLENTY ||
           iter->each > (PPI_PLENTY - iter->held) / (iter->open + iter->chunk);
}

bool ppi_can_draw(const pp_iter *iter)
{
    /* A pool that is being joined runs arrays to their end, whether anybody reads or not. */
    size_t used = iter->pool->joined ? iter->open : iter->unread;
    size_t left = iter->input ? iter->chunk : iter->count - iter->drawn;

    if (iter->ended || iter->drawing || iter->starved || iter->freed || ppi_is_cut_off(iter))
        return false;
    if (iter->bad || used >= iter->window)
        return iter->bad;
    return iter->window - used >= (left < iter->chunk ? left : iter->chunk) &&
           (iter->pool->joined || !is_plenty(iter));
}

bool ppi_in_input(const pp_pool *pool)
{
    for (const struct ppi_link *link = pool->iterators.head.next;
         link != &pool->iterators.head; link = link->next) {
        const pp_iter *iter = PPI_OWNER(link, pp_iter, all);

        if (iter->drawing && pthread_equal(iter->drawer, pthread_self()))
            return true;
    }
    return false;
}

/* ---- Drawing ---- */

/* Has the input function store items, without the lock; how many it were. */
static size_t call_input(pp_iter *iter, bool *ended)
{
    bool keeps = iter->chunk > 1 && !ppi_is_flat(iter->task);
    size_t size = iter->task->args_size, count = 0;

    while (count < iter->chunk && !iter->freed) {
        char *item = (char *)iter->scratch + count * size;

        memset(item, 0, size);
        if (!iter->input(item, iter->user)) {
            *ended = true;
            break;
        }
        if (keeps && (iter->bad = keep_item(iter, item)) != 0)
            break;
        count++;
    }
    return count;
}

static size_t draw_items(pp_iter *iter)
{
    size_t count;
    bool ended = false;

    iter->drawing = true;
    iter->drawer = pthread_self();
    pthread_mutex_unlock(&iter->pool->lock);
    PPI_POINT(CLIENT_DRAWS);
    count = call_input(iter, &ended);
    pthread_mutex_lock(&iter->pool->lock);
    iter->drawing = false;
    iter->ended = ended;
    if (iter->users > 1) /* others wait for it to be drawn, or for its end */
        ppi_notify(iter->pool);
    return count;
}

/*
 * The size of items when encoded; count is cut to those that can be.  If the first one
 * cannot, count is 1 and the reason is returned.
 */
static int measure(const pp_task *task, const char *items, size_t *count, size_t *size)
{
    int error = ppi_encoded_size(task, items, *count, size);
    size_t good = 0;

    if (!error)
        return 0;
    while (good < *count &&
           ppi_encoded_size(task, items + good * task->args_size, 1, size) == 0)
        good++;
    if (good == *count) /* each of them could be, but not all at once */
        return error;
    *count = good ? good : 1;
    return ppi_encoded_size(task, items, *count, size);
}

/* Locked.  Ends all items of a chunk that was not submitted. */
static void fail_chunk(pp_result *result, pp_kind kind, int code, const char *message)
{
    pp_error error = { .kind = kind, .code = code, .message = message };

    result->pool->open++;
    result->pool->counts.submitted += result->count;
    ppi_fail_rest(result, &error);
    result->next = result->count;
    ppi_count_rest(result, result->count);
    ppi_settle(result);
}

static void fail_for(pp_result *result, int error)
{
    fail_chunk(result, PP_RAISED, -error,
               error == -EINVAL ? "an argument is bytes that have a size and no data"
                                : "there was no memory for the arguments");
}

/* Locked.  A chunk that is not the pool's yet becomes one that is open. */
static void count_chunk(pp_iter *iter, struct ppi_chunk *chunk, size_t size)
{
    pp_result *result = &chunk->result;

    ppi_list_append(&iter->pool->results, &result->all);
    ppi_list_append(&iter->chunks, &chunk->reading);
    chunk->first_index = iter->drawn;
    chunk->held = size;
    iter->drawn += result->count;
    iter->open += result->count;
    iter->unread += result->count;
    iter->held += size;
    if (!iter->input && iter->drawn == iter->count) {
        iter->ended = true;
        iter->pool->undrawn--;
    }
}

/* Locked.  Submits a chunk, or ends it if that cannot be. */
static void submit_chunk(pp_iter *iter, struct ppi_chunk *chunk, int error, size_t size)
{
    pp_result *result = &chunk->result;
    pp_pool *pool = iter->pool;

    if (!error && !ppi_list_empty(&pool->backlog))
        ppi_look(pool);
    if (!pool->lost)
        ppi_notice_loss(pool);
    count_chunk(iter, chunk, error ? 0 : size);
    if (error) {
        fail_for(result, error);
    } else if (pool->lost || (pool->joined && iter->input)) { /* meanwhile, without the lock */
        fail_chunk(result, pool->joined ? PP_CANCELLED : pool->loss, 0,
                   "the pool had ended before the item could be run");
    } else {
        PPI_POINT(CLIENT_DREW);
        error = ppi_submit_copied(pool, result, size);
        if (error)
            fail_for(result, error);
        else
            ppi_have_served(pool, iter->task, iter->open);
    }
}

/* Locked.  A chunk that is not drawn yet; the pool does not know it. */
static struct ppi_chunk *make_chunk(pp_iter *iter, size_t count)
{
    struct ppi_chunk *chunk = ppi_chunk_new(iter->pool, iter->task, count);

    if (!chunk)
        return NULL;
    ppi_list_remove(&chunk->result.all);
    chunk->iter = iter;
    chunk->result.limits = iter->limits;
    return chunk;
}

/* Locked.  There is no memory to go on; what is in flight may give some back. */
static int starve(pp_iter *iter)
{
    iter->starved = true;
    if (iter->pool->joined && !iter->input && iter->open == 0) { /* it will not */
        iter->cut = true;
        iter->pool->undrawn--;
    }
    return -ENOMEM;
}

int ppi_draw(pp_iter *iter)
{
    size_t left = iter->input ? iter->chunk : iter->count - iter->drawn, size = 0;
    size_t count = iter->chunk < left ? iter->chunk : left;
    const char *items = iter->scratch;
    struct ppi_chunk *chunk = make_chunk(iter, count); /* first: what is drawn must not be lost */
    int error = 0;

    if (!chunk)
        return starve(iter);
    if (!iter->input)
        items = (const char *)iter->items + iter->drawn * iter->task->args_size;
    else
        count = iter->bad ? 0 : draw_items(iter);
    if (count > 0) {
        error = measure(iter->task, items, &count, &size);
    } else if (iter->bad) {
        error = iter->bad;
        iter->bad = 0;
        count = 1;
    }
    chunk->result.count = chunk->result.chunksize = count;
    chunk->result.items = items;
    if (count > 0 && !iter->freed)
        submit_chunk(iter, chunk, error, size);
    else
        ppi_result_destroy(&chunk->result);
    stash_clear(&iter->stash);
    return 0;
}

/* Locked.  What a chunk holds now that it is there. */
static void measure_values(pp_iter *iter, struct ppi_chunk *chunk)
{
    const pp_result *result = &chunk->result;
    const struct ppi_value *values = result->values;
    size_t bytes = result->count * iter->task->result_size;

    assert(result->count > 0);
    if (iter->task->result_kind != PP_VALUE_) {
        for (size_t i = 0; i < result->count; i++)
            bytes += values[i].size;
        iter->each = iter->each / 4 * 3 + bytes / result->count / 4;
    }
    iter->held += bytes - chunk->held;
    chunk->held = bytes;
}

void ppi_chunk_settled(struct ppi_chunk *chunk)
{
    pp_iter *iter = chunk->iter;

    measure_values(iter, chunk);
    iter->open -= chunk->result.count;
    iter->starved = false;
    if (iter->ordered)
        return;
    ppi_list_remove(&chunk->reading);
    ppi_list_append(&iter->ready, &chunk->reading);
}

/* ---- While waiting for something else ---- */

bool ppi_draw_for_waiter(pp_pool *pool)
{
    bool own;

    if (ppi_list_empty(&pool->iterators))
        return false;
    /* The service thread is no user's thread, unless it is in a callback. */
    own = !ppi_in_input(pool) && (ppi_in_callback(pool) || !pool->served ||
                                  !pthread_equal(pool->service, pthread_self()));
    for (struct ppi_link *link = pool->iterators.head.next; link != &pool->iterators.head;
         link = link->next) {
        pp_iter *iter = PPI_OWNER(link, pp_iter, all);

        /* When it is being joined only arrays can be drawn, by anybody. */
        if (!ppi_can_draw(iter) ||
            !(pool->joined || (own && pthread_equal(iter->owner, pthread_self()))))
            continue;
        ppi_iter_enter(iter);
        ppi_draw(iter);
        ppi_iter_leave(iter);
        return true; /* the list may have changed */
    }
    return false;
}
