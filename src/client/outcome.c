/* SPDX-License-Identifier: MIT */
/* What becomes of items: each gets exactly one outcome. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/point.h"
#include "client/client.h"

static uint64_t bits(size_t from, size_t to) /* of one word, from < to <= 64 */
{
    return (to == 64 ? UINT64_MAX : (UINT64_C(1) << to) - 1) & ~((UINT64_C(1) << from) - 1);
}

/* Marks items [first, end) unless one of them is marked already; whether it did. */
static bool mark(pp_result *result, size_t first, size_t end)
{
    if (result->count == 1) {
        if (result->outcomes[0] & 1)
            return false;
        result->outcomes[0] = 1;
        ppi_count_done(result, 1);
        return true;
    }
    for (int pass = 0; pass < 2; pass++)
        for (size_t at = first; at < end;) {
            size_t word = at / 64, to = end - word * 64 < 64 ? end - word * 64 : 64;
            uint64_t wanted = bits(at % 64, to);

            if (pass == 0 && (result->outcomes[word] & wanted) != 0)
                return false;
            if (pass == 1)
                result->outcomes[word] |= wanted;
            at = (word + 1) * 64;
        }
    ppi_count_done(result, end - first);
    return true;
}

/* It has its outcome, and is not to get another, but none of its own. */
static void count_among_rest(pp_result *result, size_t item)
{
    result->outcomes[ppi_outcome_words(result) + item / 64] |= UINT64_C(1) << item % 64;
}

/* There is no memory for an outcome: it counts among the rest, which needs little. */
static void lose(pp_result *result, size_t item)
{
    static const pp_error no_memory = {
        .size = sizeof(pp_error),
        .kind = PP_RAISED,
        .code = ENOMEM,
        .message = "there was no memory to keep the item's outcome",
    };

    count_among_rest(result, item);
    ppi_fail_rest(result, &no_memory);
}

static bool keep_variable(struct ppi_value *value, const void *payload, size_t size,
                          bool is_null)
{
    if (is_null)
        return true;
    value->data = ppi_malloc(size);
    if (!value->data)
        return false;
    memcpy(value->data, payload, size);
    value->size = size;
    return true;
}

bool ppi_succeed(pp_result *result, size_t first, size_t count, const void *payload,
                 size_t size, bool is_null)
{
    bool variable = result->task->result_kind != PP_VALUE_;
    size_t each = result->in_place ? 0 : result->task->result_size;

    if (variable ? count != 1 : size != count * each)
        return false;
    if (result->task->result_kind == PP_STRING_ && !is_null && size == 0)
        return false;
    if (!mark(result, first, first + count))
        return false;
    if (!result->values || result->in_place)
        return true;
    if (!variable)
        memcpy((char *)result->values + first * each, payload, size);
    else if (!keep_variable((struct ppi_value *)result->values + first, payload, size,
                            is_null)) {
        result->pool->counts.failed++;
        lose(result, first);
    } else if (result->task->result_kind == PP_STRING_ && !is_null)
        /* Looked at and mended in our copy: the worker could still change its own. */
        ((struct ppi_value *)result->values)[first].data[size - 1] = '\0';
    return true;
}

bool ppi_skip(pp_result *result, size_t first, size_t count)
{
    if (!result->cancelled || !mark(result, first, first + count))
        return false;
    for (size_t i = first; i < first + count; i++)
        count_among_rest(result, i);
    result->pool->counts.failed += count;
    return true;
}

/* Where failures are kept, which few results need; false without memory. */
static bool has_failures(pp_result *result)
{
    if (!result->failures)
        result->failures = calloc(1, sizeof *result->failures);
    return result->failures;
}

static bool grow_failures(pp_result *result)
{
    struct ppi_failures *failures = result->failures;
    size_t room = failures->room ? 2 * failures->room : 1;
    pp_error *more;

    if (failures->count < failures->room)
        return true;
    more = realloc(failures->all, room * sizeof *more);
    if (!more)
        return false;
    failures->all = more;
    failures->room = room;
    return true;
}

bool ppi_fail(pp_result *result, const pp_error *error)
{
    struct ppi_failures *failures;
    char *message;

    if (!mark(result, error->index, error->index + 1))
        return false;
    result->pool->counts.failed++;
    if (result->stop_on_error && !result->cancelled && !result->stopping.next)
        ppi_list_append(&result->pool->stopping, &result->stopping);
    message = ppi_copy_words(error);
    if (!message || !has_failures(result) || !grow_failures(result)) {
        free(message);
        lose(result, error->index);
        return true;
    }
    failures = result->failures;
    failures->all[failures->count] = *error;
    failures->all[failures->count].size = sizeof(pp_error);
    failures->all[failures->count].function = result->task->name;
    ppi_set_words(&failures->all[failures->count], message);
    failures->count++;
    return true;
}

void ppi_fail_rest(pp_result *result, const pp_error *error)
{
    pp_error named = *error;

    if (ppi_rest(result))
        return;
    named.size = sizeof named;
    named.function = result->task->name;
    if (!has_failures(result) || !(result->failures->rest = ppi_error_copy(&named)))
        ppi_fail_for_want(result); /* not even for that: still no outcome is lost */
}

void ppi_settle(pp_result *result)
{
    pp_pool *pool = result->pool;

    if (ppi_state(result) != PPI_OPEN || result->done < result->count)
        return;
    if (result->count > 1)
        ppi_remember_pace(result);
    if (result->failures) {
        ppi_drop_needless_rest(result);
        ppi_sort_failures(result);
    }
    PPI_POINT(CLIENT_COMPLETE);
    ppi_list_remove(&result->waiting);
    if (result->block)
        ppi_free_arguments(result);
    pool->open--;
    pool->expected -= result->expected;
    ppi_set_state(result, PPI_DONE);
    result->ended_ns = result->started_ns != 0 ? ppi_now_for(result) : 0;
    if (result->forgotten) {
        ppi_result_destroy(result);
    } else if (ppi_first_failure(result) ? result->error_callback : result->callback) {
        ppi_list_append(&pool->due, &result->waiting);
        PPI_POINT(CLIENT_DUE);
        pool->made_due++;
        ppi_rouse(pool);
    } else {
        ppi_set_state(result, PPI_THERE);
        if (result->is_chunk && ppi_chunk_of(result)->iter)
            ppi_chunk_settled(ppi_chunk_of(result));
    }
    PPI_POINT(CLIENT_SETTLED);
    ppi_notify(pool);
}
