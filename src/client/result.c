/* SPDX-License-Identifier: MIT */
/* Results: what the caller sees of them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/public.h"
#include "client/client.h"

static bool is_variable(const pp_result *result)
{
    return result->task->result_kind != PP_VALUE_;
}

/* Places for the values, and for the bits that say which are there. */
static bool make_room(pp_result *result, bool wants_values)
{
    size_t size = is_variable(result) ? sizeof(struct ppi_value) : result->task->result_size;

    result->outcomes = result->few_outcomes;
    if (result->count > 64 &&
        !(result->outcomes = calloc(ppi_outcome_words(result), 2 * sizeof(uint64_t))))
        return false;
    if (!wants_values || size == 0 || result->count == 0)
        return true;
    result->values = result->one_value;
    if (result->count == 1 && size <= sizeof result->one_value)
        return true;
    result->values = is_variable(result) ? calloc(result->count, size)
                     : result->count > SIZE_MAX / size ? NULL
                                                       : ppi_malloc(result->count * size);
    return result->values != NULL;
}

static bool init(pp_result *result, pp_pool *pool, const pp_task *task, size_t count,
                 bool wants_values)
{
    result->pool = pool;
    result->task = task;
    result->count = count;
    result->flat = ppi_is_flat(task);
    ppi_list_append(&pool->results, &result->all);
    if (make_room(result, wants_values))
        return true;
    ppi_result_destroy(result);
    return false;
}

void ppi_init_results(pp_pool *pool)
{
    ppi_slab_init(&pool->slab, sizeof(struct pp_result));
    ppi_slab_init(&pool->chunks, sizeof(struct ppi_chunk));
    ppi_list_init(&pool->results);
    ppi_list_init(&pool->backlog);
    ppi_list_init(&pool->due);
    ppi_list_init(&pool->stopping);
    ppi_list_init(&pool->iterators);
    ppi_list_init(&pool->deaths);
}

pp_result *ppi_result_new(pp_pool *pool, const pp_task *task, size_t count, bool wants_values)
{
    pp_result *result = ppi_slab_alloc(&pool->slab);

    return result && init(result, pool, task, count, wants_values) ? result : NULL;
}

struct ppi_chunk *ppi_chunk_new(pp_pool *pool, const pp_task *task, size_t count)
{
    struct ppi_chunk *chunk = ppi_slab_alloc(&pool->chunks);

    if (!chunk)
        return NULL;
    chunk->result.is_chunk = true;
    return init(&chunk->result, pool, task, count, true) ? chunk : NULL;
}

static void free_values(pp_result *result)
{
    struct ppi_value *values = result->values;

    if (!values || result->values_borrowed)
        return;
    if (is_variable(result))
        for (size_t i = 0; i < result->count; i++)
            free(values[i].data);
    if (result->values != result->one_value)
        free(result->values);
}

void ppi_free_arguments(pp_result *result)
{
    if (result->items)
        free(result->block);
    else
        ppi_buddy_free(&result->pool->arena, result->block);
    result->block = NULL;
}

void ppi_result_destroy(pp_result *result)
{
    pp_pool *pool = result->pool;

    ppi_list_remove(&result->all);
    ppi_list_remove(&result->waiting);
    ppi_list_remove(&result->stopping);
    free_values(result);
    if (result->failures)
        ppi_free_failures(result);
    if (result->outcomes != result->few_outcomes)
        free(result->outcomes);
    if (result->block)
        ppi_free_arguments(result);
    if (result->is_chunk)
        ppi_slab_free(&pool->chunks, ppi_chunk_of(result));
    else
        ppi_slab_free(&pool->slab, result);
}

/* ---- Values ---- */

/* Stores one value; a string or bytes become the caller's if owned. */
static void hand_out_one(pp_result *result, size_t item, void *place, bool owned)
{
    size_t size = result->task->result_size;
    struct ppi_value *value;

    if (!is_variable(result)) {
        memcpy(place, (char *)result->values + item * size, size);
        return;
    }
    value = (struct ppi_value *)result->values + item;
    if (result->task->result_kind == PP_STRING_)
        *(const char **)place = value->data;
    else
        *(pp_bytes *)place = (pp_bytes){ value->data, value->size };
    if (owned)
        value->data = NULL;
}

void ppi_hand_out_item(pp_result *result, size_t item, void *out)
{
    if (out && result->values)
        hand_out_one(result, item, out, false);
}

void ppi_hand_out(pp_result *result, void *out, bool owned)
{
    size_t failure = 0;

    if (!out || !result->values || result->values_borrowed)
        return;
    if (!is_variable(result) && !result->failures) {
        memcpy(out, result->values, result->count * result->task->result_size);
        return;
    }
    for (size_t i = 0; i < result->count; i++) {
        if (failure < ppi_failed(result) && result->failures->all[failure].index == i)
            failure++;
        else if (ppi_has_outcome(result, i))
            hand_out_one(result, i, (char *)out + i * result->task->result_size, owned);
    }
}

/* ---- The interface ---- */

bool ppi_is_there_for_me(void *what)
{
    pp_result *result = what;

    return ppi_is_there(result) ||
           (ppi_state(result) == PPI_DONE && result == result->pool->called &&
            ppi_in_callback(result->pool));
}

static bool would_deadlock(const pp_result *result)
{
    if (ppi_in_inline_task(result->pool))
        return true;
    return ppi_in_callback(result->pool) && result != result->pool->called &&
           (result->callback || result->error_callback);
}

/* Waits for a result; leaves with the lock held if it is not an argument that is wrong. */
static int wait_locked(pp_result *result, double timeout)
{
    int error = ppi_check_result(result);

    if (error)
        return error;
    if (isnan(timeout))
        return -EINVAL;
    pthread_mutex_lock(&result->pool->lock);
    if (ppi_is_there_for_me(result))
        error = 0;
    else if (timeout > 0 && would_deadlock(result))
        error = -EDEADLK;
    else
        error = ppi_wait_for(result, ppi_deadline_ns(timeout));
    if (error)
        pthread_mutex_unlock(&result->pool->lock);
    return error;
}

PPI_PUBLIC int pp_wait_with(pp_result *result, double timeout)
{
    int error = wait_locked(result, timeout);

    if (!error)
        pthread_mutex_unlock(&result->pool->lock);
    return error;
}

PPI_PUBLIC int pp_get_with(pp_result *result, void *out, double timeout)
{
    int error = ppi_check_result(result);
    const pp_error *failure;

    if (!error && !isnan(timeout) && ppi_is_there(result) && !result->failures) {
        ppi_hand_out(result, out, false); /* nobody changes anything of it any more */
        return 0;
    }
    error = error ? error : wait_locked(result, timeout);
    if (error)
        return error;
    failure = ppi_first_failure(result);
    error = failure ? ppi_error_code(failure) : 0;
    ppi_hand_out(result, out, false);
    pthread_mutex_unlock(&result->pool->lock);
    return error;
}

/* Locks, and looks whether the result is there without waiting; locked only if it is. */
static bool lock_if_there(pp_result *result)
{
    int error = ppi_check_result(result);

    if (error) {
        errno = -error;
        return false;
    }
    pthread_mutex_lock(&result->pool->lock);
    if (!ppi_is_there_for_me(result))
        ppi_look(result->pool);
    if (ppi_is_there_for_me(result))
        return true;
    pthread_mutex_unlock(&result->pool->lock);
    return false;
}

PPI_PUBLIC bool pp_ready(pp_result *result)
{
    if (!lock_if_there(result))
        return false;
    pthread_mutex_unlock(&result->pool->lock);
    return true;
}

PPI_PUBLIC bool pp_successful(pp_result *result)
{
    bool successful;

    if (!lock_if_there(result))
        return false;
    successful = !ppi_first_failure(result);
    pthread_mutex_unlock(&result->pool->lock);
    return successful;
}

PPI_PUBLIC const pp_error *pp_error_of(pp_result *result)
{
    const pp_error *error;

    if (!lock_if_there(result))
        return NULL;
    error = ppi_first_failure(result);
    pthread_mutex_unlock(&result->pool->lock);
    return error;
}

PPI_PUBLIC size_t pp_failures(pp_result *result)
{
    size_t failures;

    if (!lock_if_there(result))
        return 0;
    failures = ppi_failed(result);
    if (ppi_rest(result))
        for (size_t i = ppi_next_missing(result, 0); i < result->count;
             i = ppi_next_missing(result, i + 1))
            failures++;
    pthread_mutex_unlock(&result->pool->lock);
    return failures;
}

PPI_PUBLIC const pp_error *pp_failure(pp_result *result, size_t i)
{
    const pp_error *error = NULL;

    if (!lock_if_there(result))
        return NULL;
    if ((!ppi_rest(result) || ppi_spell_out_rest(result)) && i < ppi_failed(result))
        error = &result->failures->all[i];
    pthread_mutex_unlock(&result->pool->lock);
    return error;
}

PPI_PUBLIC void pp_result_free(pp_result *result)
{
    pp_pool *pool;

    if (ppi_check_result(result) != 0)
        return;
    pool = result->pool;
    pthread_mutex_lock(&pool->lock);
    if (result == pool->called) {
        pool->free_called = true;
    } else if (ppi_state(result) == PPI_OPEN) {
        result->forgotten = true; /* ended by ppi_settle() */
    } else {
        pool->not_due += ppi_state(result) == PPI_DONE;
        ppi_result_destroy(result);
    }
    pthread_mutex_unlock(&pool->lock);
}
