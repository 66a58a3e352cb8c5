/* SPDX-License-Identifier: MIT */
/*
 * The user's shared memory: the last part of the segment, mapped before the first fork
 * and so at the same address in all processes.  What is known of its blocks is private
 * to the client; it outlives the pool's processes.
 */
#include <errno.h>

#include "base/point.h"
#include "base/public.h"
#include "client/client.h"

/* Pages may be larger than ours: no block shares one with another. */
#define SMALLEST_BLOCK ((size_t)65536)

/* Locked.  Whether count things of this size, one at least, lie there entirely. */
static bool is_shared(const pp_pool *pool, const void *data, size_t size, size_t count)
{
    uintptr_t at = (uintptr_t)data, base = (uintptr_t)pool->queue->shared;
    size_t length = pool->queue->shared_size;

    if (size == 0 || count == 0 || at < base || at - base >= length)
        return false;
    return count <= (length - (at - base)) / size;
}

/*
 * An attempt that dies after it has stored its value leaves the next one the value in
 * the argument's place, if that is the same: such a map's values go through the outbox.
 */
static bool spoils_retries(const pp_result *result, const void *items, const void *out)
{
    return result->limits.retries > 0 &&
           (uintptr_t)items < (uintptr_t)out + result->count * result->task->result_size &&
           (uintptr_t)out < (uintptr_t)items + result->count * result->task->args_size;
}

void ppi_share(pp_result *result, const void *items, const void *out)
{
    const pp_task *task = result->task;

    result->items_shared = ppi_is_flat(task) &&
                           is_shared(result->pool, items, task->args_size, result->count);
    result->in_place = is_shared(result->pool, out, task->result_size, result->count) &&
                       !(result->items_shared && spoils_retries(result, items, out));
}

PPI_PUBLIC void *pp_shared_alloc(pp_pool *pool, size_t size)
{
    int error = ppi_check_pool(pool);
    void *block = NULL;

    if (error) {
        errno = -error;
        return NULL;
    }
    pthread_mutex_lock(&pool->lock);
    if (!pool->lost)
        ppi_notice_loss(pool);
    if (!pool->lost) {
        block = ppi_buddy_alloc(&pool->shared, size > SMALLEST_BLOCK ? size : SMALLEST_BLOCK);
        if (block) /* it was when it was freed; since then a stray store may have hit it */
            ppi_segment_release_pages(block, ppi_buddy_size(&pool->shared, block));
    }
    error = pool->lost ? ESHUTDOWN : ENOMEM;
    pthread_mutex_unlock(&pool->lock);
    if (!block)
        errno = error;
    return block;
}

PPI_PUBLIC int pp_shared_free(pp_pool *pool, void *memory)
{
    int error = ppi_check_pool(pool);
    size_t size;

    if (error || !memory)
        return error;
    pthread_mutex_lock(&pool->lock);
    size = ppi_buddy_size(&pool->shared, memory);
    if (size > 0) {
        ppi_segment_clear_pages(memory, size);
        PPI_POINT(CLIENT_SHARED_CLEARED);
        ppi_buddy_free(&pool->shared, memory);
    }
    pthread_mutex_unlock(&pool->lock);
    return size > 0 ? 0 : -EINVAL;
}
