/* SPDX-License-Identifier: MIT */
/* imap and its kin: iterators as the caller sees them. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/public.h"
#include "client/iterator.h"

/* ---- Making ---- */

/* So many chunks are drawn ahead: workers need not be woken for each item. */
#define CHUNKS 256
#define CHUNKS_PER_WORKER 8

/* However large the items are, so many: no worker waits for the reader. */
#define FEW_PER_WORKER 2

/* Bytes that a value of unknown size is thought to have until some are there. */
#define GUESS (PPI_PLENTY / 64)

static int copy_sizes(pp_iter *iter, const pp_imap_options *options)
{
    size_t chunks = CHUNKS_PER_WORKER * (size_t)iter->pool->most;

    if (options->chunksize < 0 || options->window < 0)
        return -EINVAL;
    chunks = chunks > CHUNKS ? chunks : CHUNKS;
    iter->chunk = options->chunksize > 0 ? (size_t)options->chunksize : 1;
    iter->window = (size_t)options->window;
    iter->each = iter->task->result_kind == PP_VALUE_ ? iter->task->result_size : GUESS;
    if (iter->window == 0) {
        if (__builtin_mul_overflow(iter->chunk, chunks, &iter->window))
            iter->window = SIZE_MAX;
        iter->few_each = iter->window / chunks * FEW_PER_WORKER;
    }
    if (iter->chunk > iter->window)
        iter->chunk = iter->window;
    return 0;
}

static int copy_source(pp_iter *iter, const pp_imap_options *options)
{
    size_t size;

    if (options->input && (options->items || options->count > 0))
        return -EINVAL;
    iter->items = options->items;
    iter->count = options->count;
    iter->input = options->input;
    iter->user = options->user;
    iter->ended = !iter->input && iter->count == 0;
    if (!iter->input)
        return 0;
    if (__builtin_mul_overflow(iter->task->args_size, iter->chunk, &size))
        return -ENOMEM;
    iter->scratch = malloc(size > 0 ? size : 1);
    return iter->scratch ? 0 : -ENOMEM;
}

static void destroy(pp_iter *iter)
{
    ppi_list_remove(&iter->all);
    ppi_stash_destroy(&iter->stash);
    free(iter->scratch);
    free(iter);
}

/* Locked, since it reads the queue, which is gone after the end of the pool.  An iterator
   that the pool does not know yet; or NULL and *error. */
static pp_iter *make(pp_pool *pool, const pp_task *task, const pp_imap_options *options,
                     const struct ppi_limits *limits, int *error)
{
    pp_iter *iter = calloc(1, sizeof *iter);

    if (!iter) {
        *error = -ENOMEM;
        return NULL;
    }
    iter->pool = pool;
    iter->task = task;
    iter->owner = pthread_self();
    iter->limits = *limits;
    ppi_list_init(&iter->chunks);
    ppi_list_init(&iter->ready);
    ppi_list_init(&iter->spent);
    *error = copy_sizes(iter, options);
    if (!*error)
        *error = copy_source(iter, options);
    if (!*error)
        return iter;
    destroy(iter);
    return NULL;
}

/* Locked.  Makes it the pool's, and draws what fits of an array. */
static int start(pp_pool *pool, pp_iter *iter)
{
    int error = 0;

    ppi_list_append(&pool->iterators, &iter->all);
    pool->undrawn += !iter->ended && !iter->input;
    while (!iter->input && !error && ppi_can_draw(iter))
        error = ppi_draw(iter);
    if (!error || iter->drawn > 0)
        return 0;
    pool->undrawn--;
    return error;
}

static pp_iter *imap(pp_pool *pool, const pp_task *task, const pp_imap_options *given,
                     bool ordered)
{
    pp_imap_options options;
    struct ppi_limits limits = { 0 };
    int error = ppi_copy_options(&options, sizeof options, given);
    pp_iter *iter = NULL;

    if (!error)
        error = ppi_make_limits(options.time_limit, options.grace, options.retries, &limits);
    if (!error)
        error = ppi_check_order(pool, task, options.items, options.input ? 0 : options.count,
                                &limits);
    if (!error) {
        pthread_mutex_lock(&pool->lock);
        error = ppi_check_phase(pool);
        if (!error)
            iter = make(pool, task, &options, &limits, &error);
        if (iter) {
            iter->ordered = ordered;
            error = start(pool, iter);
            if (error)
                destroy(iter);
        }
        pthread_mutex_unlock(&pool->lock);
    }
    if (!error)
        return iter;
    errno = -error;
    return NULL;
}

PPI_PUBLIC pp_iter *pp_imap_with(pp_pool *pool, const pp_task *task,
                                 const pp_imap_options *options)
{
    return imap(pool, task, options, true);
}

PPI_PUBLIC pp_iter *pp_imap_unordered_with(pp_pool *pool, const pp_task *task,
                                           const pp_imap_options *options)
{
    return imap(pool, task, options, false);
}

/* ---- Freeing ---- */

/* Locked.  Lets go of chunks: of what is there at once, of what is open when it is. */
static void drop_chunks(struct ppi_list *list)
{
    while (!ppi_list_empty(list)) {
        struct ppi_chunk *chunk = PPI_FIRST(list, struct ppi_chunk, reading);
        pp_result *result = &chunk->result;

        ppi_list_remove(&chunk->reading);
        chunk->iter = NULL;
        if (ppi_is_there(result)) {
            ppi_result_destroy(result);
        } else {
            result->forgotten = true;
            ppi_cancel(result, false, "the iterator was freed");
        }
    }
}

void ppi_iter_enter(pp_iter *iter)
{
    iter->users++;
}

void ppi_iter_leave(pp_iter *iter)
{
    iter->users--;
    if (iter->freed && iter->users == 0)
        destroy(iter);
}

static int check_iter(const pp_iter *iter)
{
    return iter ? ppi_check_pool(iter->pool) : -EINVAL;
}

PPI_PUBLIC void pp_iter_free(pp_iter *iter)
{
    pp_pool *pool;

    if (check_iter(iter) != 0)
        return;
    pool = iter->pool;
    pthread_mutex_lock(&pool->lock);
    pool->undrawn -= !iter->input && !iter->ended && !iter->cut;
    iter->freed = true;
    drop_chunks(&iter->chunks);
    drop_chunks(&iter->ready);
    drop_chunks(&iter->spent);
    if (iter->current)
        ppi_result_destroy(&iter->current->result);
    iter->current = NULL;
    if (!pool->lost)
        ppi_feed(pool); /* there may be room for others now */
    ppi_iter_enter(iter);
    if (iter->users > 1)
        ppi_notify(pool);
    ppi_iter_leave(iter);
    pthread_mutex_unlock(&pool->lock);
}

void ppi_free_iterators(pp_pool *pool)
{
    while (!ppi_list_empty(&pool->iterators))
        destroy(PPI_FIRST(&pool->iterators, pp_iter, all));
}

/* ---- Reading ---- */

/* The next chunk of which nothing has been handed out, if it is there. */
static struct ppi_chunk *next_chunk(const pp_iter *iter)
{
    const struct ppi_list *list = iter->ordered ? &iter->chunks : &iter->ready;
    struct ppi_chunk *chunk =
        ppi_list_empty(list) ? NULL : PPI_FIRST(list, struct ppi_chunk, reading);

    return chunk && ppi_is_there(&chunk->result) ? chunk : NULL;
}

static bool is_ready(const pp_iter *iter)
{
    return iter->current || next_chunk(iter);
}

/* Whether no item is left, or will ever be. */
static bool is_over(const pp_iter *iter)
{
    return iter->unread == 0 && !iter->drawing && (iter->ended || ppi_is_cut_off(iter));
}

/* Whether somebody who waits for the next item has something to do. */
static bool is_decided(void *what)
{
    const pp_iter *iter = what;

    return iter->freed || is_ready(iter) || ppi_can_draw(iter) || is_over(iter) ||
           (iter->starved && iter->unread == 0);
}

/*
 * Locked.  Waits for an item, and draws meanwhile.  If one is there already, no more than
 * a chunk is drawn, in the place of what was read: only that may keep it back.
 */
static int wait_for_item(pp_iter *iter, uint64_t deadline_ns)
{
    pp_pool *pool = iter->pool;
    bool drew = false, late = false;
    int error;

    for (;;) {
        if (!pool->led && !is_ready(iter))
            ppi_look(pool);
        if (iter->freed)
            return PP_STOP_ITERATION;
        if (ppi_can_draw(iter) && !(drew && (late || is_ready(iter)))) {
            ppi_draw(iter);
            drew = true;
            late = deadline_ns != 0 && deadline_ns != PPI_NEVER && ppi_now_ns() >= deadline_ns;
        } else if (is_ready(iter)) {
            return 0;
        } else if (is_over(iter)) {
            return iter->ended ? PP_STOP_ITERATION : -ESHUTDOWN;
        } else if (iter->starved && iter->unread == 0) {
            return -ENOMEM;
        } else if (late) {
            return -ETIMEDOUT;
        } else {
            error = ppi_wait_until(pool, is_decided, iter, deadline_ns);
            if (error)
                return error;
        }
    }
}

/* Locked.  Hands out an item that is there; what becomes of it. */
static int take(pp_iter *iter, void *out, size_t *index)
{
    struct ppi_chunk *chunk = iter->current;
    pp_error *error;

    if (!chunk) {
        chunk = next_chunk(iter);
        ppi_list_remove(&chunk->reading);
        iter->current = chunk;
        iter->next = iter->failures = 0;
    }
    error = ppi_failure_of_item(&chunk->result, iter->next, &iter->failures);
    if (error)
        error->index = chunk->first_index + iter->next;
    else
        ppi_hand_out_item(&chunk->result, iter->next, out);
    if (index)
        *index = chunk->first_index + iter->next;
    iter->error = error;
    iter->unread--;
    iter->next++;
    if (iter->next == chunk->result.count) {
        ppi_list_append(&iter->spent, &chunk->reading);
        iter->held -= chunk->held;
        iter->current = NULL;
    }
    return error ? ppi_error_code(error) : 0;
}

/* Locked. */
static int next_locked(pp_iter *iter, void *out, const pp_next_options *options)
{
    int error;

    if ((iter->drawing && pthread_equal(iter->drawer, pthread_self())) ||
        ppi_in_inline_task(iter->pool))
        return -EDEADLK;
    iter->owner = pthread_self();
    iter->starved = false;
    iter->error = NULL;
    drop_chunks(&iter->spent);
    ppi_iter_enter(iter);
    error = wait_for_item(iter, ppi_deadline_ns(options->timeout));
    if (!error)
        error = take(iter, out, options->index);
    ppi_iter_leave(iter);
    return error;
}

PPI_PUBLIC int pp_next_with(pp_iter *iter, void *out, const pp_next_options *given)
{
    pp_next_options options;
    int error = check_iter(iter);
    pp_pool *pool;

    if (!error)
        error = ppi_copy_options(&options, sizeof options, given);
    if (error)
        return error;
    if (!given)
        options.timeout = PP_FOREVER;
    if (isnan(options.timeout))
        return -EINVAL;
    pool = iter->pool;
    pthread_mutex_lock(&pool->lock);
    error = next_locked(iter, out, &options);
    pthread_mutex_unlock(&pool->lock);
    return error;
}

PPI_PUBLIC const pp_error *pp_iter_error(pp_iter *iter)
{
    const pp_error *error;
    int code = check_iter(iter);

    if (code) {
        errno = -code;
        return NULL;
    }
    pthread_mutex_lock(&iter->pool->lock);
    error = iter->error;
    pthread_mutex_unlock(&iter->pool->lock);
    return error;
}
