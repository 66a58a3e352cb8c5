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

    result->outcomes = &result->few_outcomes;
    if (result->count > 64 && !(result->outcomes = calloc((result->count + 63) / 64, 8)))
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

/* What is said when there is no memory to say more; index is nobody's. */
static pp_error want_of_memory = {
    .size = sizeof want_of_memory,
    .kind = PP_RAISED,
    .code = ENOMEM,
    .function = "",
    .message = "out of memory",
};
static struct ppi_failures want_of_failures = { .rest = &want_of_memory };

void ppi_fail_for_want(pp_result *result)
{
    if (result->failures)
        result->failures->rest = &want_of_memory;
    else
        result->failures = &want_of_failures;
}

static void free_rest(pp_error *rest)
{
    if (rest != &want_of_memory)
        free(rest);
}

static void free_failures(pp_result *result)
{
    struct ppi_failures *failures = result->failures;

    if (failures == &want_of_failures)
        return;
    for (size_t i = 0; i < failures->count; i++)
        free((char *)failures->all[i].message);
    free(failures->all);
    free(failures->former_all);
    free_rest(failures->rest);
    free_rest(failures->former_rest);
    free(failures);
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
        free_failures(result);
    if (result->outcomes != &result->few_outcomes)
        free(result->outcomes);
    if (result->block)
        ppi_free_arguments(result);
    if (result->is_chunk)
        ppi_slab_free(&pool->chunks, ppi_chunk_of(result));
    else
        ppi_slab_free(&pool->slab, result);
}

/* ---- Errors ---- */

static bool has_outcome(const pp_result *result, size_t item)
{
    return result->outcomes[item / 64] >> item % 64 & 1;
}

/* The first item from here on without an outcome; count if there is none. */
static size_t next_missing(const pp_result *result, size_t item)
{
    while (item < result->count && has_outcome(result, item))
        item += result->outcomes[item / 64] == UINT64_MAX ? 64 - item % 64 : 1;
    return item < result->count ? item : result->count;
}

void ppi_drop_needless_rest(pp_result *result)
{
    struct ppi_failures *failures = result->failures;

    if (!ppi_rest(result) || next_missing(result, 0) < result->count)
        return;
    if (failures == &want_of_failures) {
        result->failures = NULL;
        return;
    }
    free_rest(failures->rest);
    failures->rest = NULL;
}

/* Of a map that stopped on an error: the first item that failed and was not just stopped. */
static const pp_error *first_cause(pp_result *result)
{
    const struct ppi_failures *failures = result->failures;

    for (size_t i = 0; i < failures->count; i++)
        if (failures->all[i].kind != PP_CANCELLED)
            return &failures->all[i];
    return NULL;
}

const pp_error *ppi_first_failure(pp_result *result)
{
    struct ppi_failures *failures = result->failures;
    const pp_error *cause;

    if (!failures)
        return NULL;
    cause = result->stop_on_error ? first_cause(result) : NULL;
    if (cause)
        return cause;
    if (failures->rest) {
        failures->rest->index = next_missing(result, 0);
        if (failures->count == 0 || failures->rest->index < failures->all[0].index)
            return failures->rest;
    }
    return failures->count > 0 ? &failures->all[0] : NULL;
}

int ppi_error_code(const pp_error *error)
{
    static const int codes[] = {
        [PP_SUCCEEDED] = 0,           [PP_RAISED] = PP_ERAISED,
        [PP_CRASHED] = PP_ECRASHED,   [PP_TIMED_OUT] = PP_ETIMELIMIT,
        [PP_CANCELLED] = PP_ECANCELLED, [PP_BROKEN] = PP_EBROKEN,
    };

    return codes[error->kind];
}

pp_error *ppi_error_copy(const pp_error *error)
{
    size_t message = strlen(error->message) + 1, function = strlen(error->function) + 1;
    pp_error *copy = malloc(sizeof *copy + message + function);
    char *text = (char *)(copy + 1);

    if (!copy)
        return NULL;
    *copy = *error;
    copy->message = memcpy(text, error->message, message);
    copy->function = memcpy(text + message, error->function, function);
    return copy;
}

static int by_index(const void *a, const void *b)
{
    size_t x = ((const pp_error *)a)->index, y = ((const pp_error *)b)->index;

    return x < y ? -1 : x > y;
}

void ppi_sort_failures(pp_result *result)
{
    struct ppi_failures *failures = result->failures;

    if (failures && failures->count > 1)
        qsort(failures->all, failures->count, sizeof *failures->all, by_index);
}

/* Adds an entry for each item that the rest stands for; false without memory. */
static bool add_rest(const pp_result *result, pp_error *all, size_t *count)
{
    size_t old = *count;

    for (size_t i = next_missing(result, 0); i < result->count;
         i = next_missing(result, i + 1)) {
        pp_error *error = &all[*count];

        *error = *result->failures->rest;
        error->index = i;
        error->function = result->task->name;
        error->message = strdup(result->failures->rest->message);
        if (!error->message) {
            while (*count > old)
                free((char *)all[--*count].message);
            return false;
        }
        ++*count;
    }
    return true;
}

/* Makes an entry for each item that the rest stands for; false without memory.  What
   pp_error_of() has handed out before stays. */
static bool spell_out_rest(pp_result *result)
{
    struct ppi_failures *failures = result->failures;
    size_t missing = 0, count = failures->count;
    pp_error *all;

    if (failures == &want_of_failures)
        return false;
    for (size_t i = next_missing(result, 0); i < result->count; i = next_missing(result, i + 1))
        missing++;
    all = malloc((count + missing) * sizeof *all);
    if (!all)
        return false;
    if (count > 0)
        memcpy(all, failures->all, count * sizeof *all);
    if (!add_rest(result, all, &count)) {
        free(all);
        return false;
    }
    for (size_t i = failures->count; i < count; i++)
        result->outcomes[all[i].index / 64] |= UINT64_C(1) << all[i].index % 64;
    failures->former_all = failures->all;
    failures->former_rest = failures->rest;
    failures->all = all;
    failures->count = count;
    failures->rest = NULL;
    ppi_sort_failures(result);
    return true;
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

pp_error *ppi_failure_of_item(pp_result *result, size_t item, size_t *failures)
{
    if (*failures < ppi_failed(result) && result->failures->all[*failures].index == item)
        return &result->failures->all[(*failures)++];
    if (has_outcome(result, item))
        return NULL;
    return ppi_rest(result) ? ppi_rest(result) : &want_of_memory;
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
        else if (has_outcome(result, i))
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
        for (size_t i = next_missing(result, 0); i < result->count;
             i = next_missing(result, i + 1))
            failures++;
    pthread_mutex_unlock(&result->pool->lock);
    return failures;
}

PPI_PUBLIC const pp_error *pp_failure(pp_result *result, size_t i)
{
    const pp_error *error = NULL;

    if (!lock_if_there(result))
        return NULL;
    if ((!ppi_rest(result) || spell_out_rest(result)) && i < ppi_failed(result))
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
        ppi_result_destroy(result);
    }
    pthread_mutex_unlock(&pool->lock);
}
