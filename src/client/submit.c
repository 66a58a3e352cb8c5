/* SPDX-License-Identifier: MIT */
/* apply, map and their forms that do not wait. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/public.h"
#include "client/client.h"

/* From so many records on that nobody may be looking at, somebody must take them in. */
#define MANY_RECORDS (PPI_RECORDS / 2)

/* Records are taken in while they are still in the cache, but not for every call, and so
   that a worker does not get far ahead. */
#define LOOK_EVERY 64

/* What is submitted, in one form for all. */
struct order {
    const pp_task *task;
    const void *items;
    size_t count;
    size_t chunksize; /* of a map; 0: guided */
    bool is_map;
    bool waits;
    void *out; /* of an order that waits */
    pp_callback *callback, *error_callback;
    void *user;
    struct ppi_limits limits;
    bool stop_on_error;
};

int ppi_check_order(pp_pool *pool, const pp_task *task, const void *items, size_t count,
                    const struct ppi_limits *limits)
{
    int error = ppi_check_pool(pool);

    if (!error)
        error = ppi_check_task(task);
    if (!error && count > 0 && task->args_size > 0 && !items)
        error = -EINVAL;
    if (!error && count > SSIZE_MAX / sizeof(pp_error))
        error = -ENOMEM;
    if (!error && !ppi_objects_have(pool->objects, (uintptr_t)task->run))
        error = -ENOEXEC;
    if (!error && limits->time_ns > 0 && !ppi_is_isolated(pool))
        error = -ENOTSUP; /* nothing can be stopped but a process */
    return error;
}

static int check_order(pp_pool *pool, const struct order *order)
{
    return ppi_check_order(pool, order->task, order->items, order->count, &order->limits);
}

int ppi_check_phase(pp_pool *pool)
{
    if (!pool->gone && ppi_lost(pool))
        ppi_notice_loss(pool);
    if (pool->phase != PPI_IS_OPEN)
        return -ESHUTDOWN;
    return pool->lost ? -ENOTRECOVERABLE : 0;
}

/* Locked.  Copies the arguments of a map as a whole, unless they lie in shared memory. */
static int keep_arguments(pp_pool *pool, pp_result *result, const struct order *order,
                          size_t size)
{
    if (size == 0 || result->items_shared)
        return 0;
    result->block = ppi_buddy_alloc(&pool->arena, size);
    if (!result->block)
        return -ENOMEM;
    ppi_encode(order->task, order->items, order->count, result->block);
    pool->counts.bytes_in += size;
    result->items = NULL;
    return 0;
}

/*
 * Locked.  Whether the service thread must look after what is in flight: when more
 * waits in the backlog, or the records could fill a worker's ring while nobody looks.
 */
static bool needs_service(const pp_pool *pool, const pp_task *task, size_t items)
{
    return !ppi_list_empty(&pool->backlog) || pool->used > MANY_RECORDS ||
           (task->result_kind != PP_VALUE_ && items > MANY_RECORDS);
}

void ppi_have_served(pp_pool *pool, const pp_task *task, size_t items)
{
    if (!pool->on_duty && pool->start != PP_INLINE && needs_service(pool, task, items) &&
        ppi_serve(pool) == 0)
        ppi_put_on_duty(pool); /* without it, whoever waits does its work */
}

int ppi_submit_copied(pp_pool *pool, pp_result *result, size_t size)
{
    void *copy;

    ppi_submit(pool, result);
    if (result->next > 0 || ppi_state(result) != PPI_OPEN || size == 0)
        return 0;
    /* It is in the backlog, and nowhere else.  There is no value yet; but the place of a string
       or bytes must say so until there is. */
    copy = result->one_value;
    if (size > sizeof result->one_value || result->task->result_kind != PP_VALUE_)
        copy = result->block = malloc(size);
    if (!copy) {
        ppi_list_remove(&result->waiting);
        pool->open--;
        pool->counts.submitted -= result->count;
        pool->expected -= result->expected;
        return -ENOMEM;
    }
    ppi_encode(result->task, result->items, result->count, copy);
    result->items = copy;
    return 0;
}

/* Locked.  A result for an order, not submitted yet; or NULL and *error. */
static pp_result *make_result(pp_pool *pool, const struct order *order, int *error)
{
    bool lends = order->is_map && order->waits && order->task->result_kind == PP_VALUE_;
    pp_result *result = ppi_result_new(pool, order->task, order->count,
                                       lends ? false : !order->waits || order->out);

    if (!result) {
        *error = -ENOMEM;
        return NULL;
    }
    if (lends && order->task->result_size > 0) { /* values go to their place at once */
        result->values = order->out;
        result->values_borrowed = true;
    }
    result->chunksize = order->chunksize;
    result->callback = order->callback;
    result->error_callback = order->error_callback;
    result->user = order->user;
    result->limits = order->limits;
    result->stop_on_error = order->stop_on_error;
    result->items = order->items;
    result->waits = order->waits;
    return result;
}

/*
 * Locked.  Submits a result.  A map that does not wait is copied as a whole first, a
 * single call only if it has to wait in the backlog.
 */
static int submit_result(pp_pool *pool, pp_result *result, const struct order *order)
{
    size_t size = order->task->args_size;
    int error = 0;

    if (order->is_map || !result->flat)
        error = ppi_encoded_size(order->task, order->items, order->count, &size);

    if (order->is_map)
        ppi_share(result, order->items, result->values_borrowed ? order->out : NULL);
    if (!error && !order->is_map && size > pool->queue->arena_size)
        error = -ENOMEM;
    if (!error && (order->callback || order->error_callback))
        error = ppi_serve(pool);
    if (!error && order->is_map && !order->waits)
        error = keep_arguments(pool, result, order, size);
    if (error)
        return error;
    if (!order->is_map && !order->waits)
        return ppi_submit_copied(pool, result, size);
    ppi_submit(pool, result);
    return 0;
}

/* Locked.  Makes and submits a result; NULL and *error if that cannot be. */
static pp_result *submit(pp_pool *pool, const struct order *order, int *error)
{
    pp_result *result;

    if (pool->used >= LOOK_EVERY && ++pool->submitted % LOOK_EVERY == 0)
        ppi_look(pool);
    *error = ppi_check_phase(pool);
    if (*error || !(result = make_result(pool, order, error)))
        return NULL;
    *error = submit_result(pool, result, order);
    if (*error) {
        ppi_result_destroy(result);
        return NULL;
    }
    if (!order->waits)
        ppi_have_served(pool, order->task, order->count);
    return result;
}

static pp_result *submit_async(pp_pool *pool, const struct order *order)
{
    pp_result *result = NULL;
    int error = check_order(pool, order);

    if (!error) {
        pthread_mutex_lock(&pool->lock);
        result = submit(pool, order, &error);
        ppi_run_all_inline(pool);
        pthread_mutex_unlock(&pool->lock);
    }
    if (error)
        errno = -error;
    return result;
}

/* Submits and waits; the result exists only meanwhile. */
static int submit_and_wait(pp_pool *pool, const struct order *order, pp_error **failure)
{
    int error = check_order(pool, order);
    const pp_error *first;
    pp_result *result;

    if (!error && ppi_in_inline_task(pool))
        error = -EDEADLK;
    if (error)
        return error;
    pthread_mutex_lock(&pool->lock);
    result = submit(pool, order, &error);
    if (result) {
        ppi_wait_for(result, PPI_NEVER);
        first = ppi_first_failure(result);
        error = first ? ppi_error_code(first) : 0;
        if (first && failure)
            *failure = ppi_error_copy(first);
        ppi_hand_out(result, order->out, true);
        ppi_result_destroy(result);
    }
    pthread_mutex_unlock(&pool->lock);
    return error;
}

PPI_PUBLIC int pp_apply_with(pp_pool *pool, pp_call call, void *out,
                             const pp_apply_options *given)
{
    pp_apply_options options;
    int error = ppi_copy_options(&options, sizeof options, given);
    struct order order = {
        .task = call.task, .items = call.args, .count = 1, .waits = true, .out = out
    };

    if (!error)
        error = ppi_make_limits(options.time_limit, options.grace, options.retries,
                                &order.limits);
    return error ? error : submit_and_wait(pool, &order, options.error);
}

PPI_PUBLIC pp_result *pp_apply_async_with(pp_pool *pool, pp_call call,
                                          const pp_async_options *given)
{
    pp_async_options options;
    struct order order = { .task = call.task, .items = call.args, .count = 1 };

    if (ppi_copy_options(&options, sizeof options, given) != 0 ||
        ppi_make_limits(options.time_limit, options.grace, options.retries, &order.limits) !=
            0) {
        errno = EINVAL;
        return NULL;
    }
    order.callback = options.callback;
    order.error_callback = options.error_callback;
    order.user = options.user;
    return submit_async(pool, &order);
}

PPI_PUBLIC int pp_map_with(pp_pool *pool, const pp_task *task, const void *items, size_t count,
                           void *out, const pp_map_options *given)
{
    pp_map_options options;
    int error = ppi_copy_options(&options, sizeof options, given);
    struct order order = { .task = task,
                           .items = items,
                           .count = count,
                           .chunksize = (size_t)options.chunksize,
                           .is_map = true,
                           .waits = true,
                           .out = out,
                           .stop_on_error = options.stop_on_error };

    if (!error && options.chunksize < 0)
        error = -EINVAL;
    if (!error)
        error = ppi_make_limits(options.time_limit, options.grace, options.retries,
                                &order.limits);
    return error ? error : submit_and_wait(pool, &order, options.error);
}

PPI_PUBLIC pp_result *pp_map_async_with(pp_pool *pool, const pp_task *task, const void *items,
                                        size_t count, const pp_map_async_options *given)
{
    pp_map_async_options options;
    int error = ppi_copy_options(&options, sizeof options, given);
    struct order order = { .task = task,
                           .items = items,
                           .count = count,
                           .chunksize = (size_t)options.chunksize,
                           .is_map = true,
                           .callback = options.callback,
                           .error_callback = options.error_callback,
                           .user = options.user,
                           .stop_on_error = options.stop_on_error };

    if (!error)
        error = ppi_make_limits(options.time_limit, options.grace, options.retries,
                                &order.limits);
    if (error || options.chunksize < 0) {
        errno = EINVAL;
        return NULL;
    }
    return submit_async(pool, &order);
}
