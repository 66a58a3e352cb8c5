/* SPDX-License-Identifier: MIT */
/*
 * Cancelling: what nobody has claimed yet is taken back; whoever has claimed the rest
 * is asked to end it.
 */
#include <errno.h>

#include "base/point.h"
#include "base/public.h"
#include "client/client.h"
#include "queue/claims.h"

static void drop_unsubmitted(pp_result *result)
{
    ppi_list_remove(&result->waiting);
    ppi_count_rest(result, result->count - result->next);
    result->next = result->count;
}

/* The slots of a result's tasks: all, unless it is a single call. */
struct range {
    size_t first, end;
};

static struct range slots_of(const pp_pool *pool, const pp_result *result)
{
    size_t newest = result->newest % PPI_WINDOW;

    if (result->in_flight == 1 && pool->flights[newest].result == result)
        return (struct range){ newest, newest + 1 };
    return (struct range){ 0, PPI_WINDOW };
}

/* Takes tasks back, or asks for their end; whether it took any back. */
static bool withdraw(pp_pool *pool, const pp_result *result, enum ppi_cancelled how)
{
    struct range slots = slots_of(pool, result);
    bool any = false;

    for (size_t slot = slots.first; slot < slots.end; slot++) {
        struct ppi_flight *flight = &pool->flights[slot];

        if (flight->result != result)
            continue;
        flight->withdrawn = ppi_withdraw(pool->queue, flight->position);
        if (!flight->withdrawn)
            ppi_set_cancelled(pool->queue, flight->position, how);
        PPI_POINT(CLIENT_WITHDREW);
        any |= flight->withdrawn;
    }
    return any;
}

static void end_withdrawn(pp_pool *pool, pp_result *result)
{
    struct range slots = slots_of(pool, result);

    for (size_t slot = slots.first; slot < slots.end; slot++) {
        struct ppi_flight *flight = &pool->flights[slot];

        if (flight->result != result || !flight->withdrawn)
            continue;
        ppi_count_rest(result, flight->left);
        ppi_end_flight(pool, flight);
    }
}

void ppi_cancel(pp_result *result, bool hard, const char *why)
{
    pp_pool *pool = result->pool;
    pp_error error = { .kind = PP_CANCELLED, .message = why };

    if (ppi_state(result) != PPI_OPEN || pool->lost)
        return;
    result->cancelled = true;
    ppi_fail_rest(result, &error);
    drop_unsubmitted(result);
    if (result->in_flight > 0 && withdraw(pool, result, hard ? PPI_NOW : PPI_SOON)) {
        /* Of a task that was handed back some items may have an outcome already. */
        ppi_drain(pool);
        end_withdrawn(pool, result);
    }
    PPI_POINT(CLIENT_CANCELS);
    if (hard && result->in_flight > 0)
        ppi_poke(pool);
    ppi_settle(result);
}

PPI_PUBLIC int pp_cancel(pp_result *result)
{
    int error = ppi_check_result(result);
    pp_pool *pool;

    if (error)
        return error;
    pool = result->pool;
    pthread_mutex_lock(&pool->lock);
    ppi_look(pool);
    if (ppi_state(result) == PPI_OPEN) {
        ppi_cancel(result, true, "cancelled");
        if (!pool->lost)
            ppi_feed(pool); /* it may have been the first of the backlog */
    } else {
        error = -EALREADY;
    }
    pthread_mutex_unlock(&pool->lock);
    return error;
}
