/* SPDX-License-Identifier: MIT */
/* Callbacks, and the thread that runs them when nobody else does. */
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/point.h"
#include "base/process.h"
#include "client/client.h"
#include "queue/wake.h"

bool ppi_in_callback(const pp_pool *pool)
{
    return pool->calling && pthread_equal(pool->caller, pthread_self());
}

bool ppi_has_due(const pp_pool *pool)
{
    return !ppi_list_empty(&pool->due) || (pool->on_death && !ppi_list_empty(&pool->deaths));
}

void ppi_begin_calling(pp_pool *pool, pp_result *result)
{
    pool->calling = true;
    pool->caller = pthread_self();
    pool->called = result;
    pool->free_called = false;
    pthread_mutex_unlock(&pool->lock);
}

void ppi_end_calling(pp_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->calling = false;
    pool->called = NULL;
}

/* Runs one callback, without the lock. */
static void run_callback(pp_pool *pool, pp_result *result)
{
    pp_callback *callback =
        ppi_first_failure(result) ? result->error_callback : result->callback;

    ppi_list_remove(&result->waiting);
    pool->not_due++;
    ppi_begin_calling(pool, result);
    PPI_POINT(CLIENT_CALLS_BACK);
    callback(result, result->user);
    PPI_POINT(CLIENT_CALLED_BACK);
    ppi_end_calling(pool);
    ppi_set_state(result, PPI_THERE);
    if (pool->free_called)
        ppi_result_destroy(result);
    ppi_notify(pool);
}

static int run_callbacks(pp_pool *pool, size_t most)
{
    size_t count = 0;

    for (; count < most && ppi_has_due(pool) && !pool->calling; count++)
        if (ppi_death_is_next(pool))
            ppi_tell_death(pool);
        else
            run_callback(pool, PPI_FIRST(&pool->due, pp_result, waiting));
    return count < INT_MAX ? (int)count : INT_MAX;
}

int ppi_run_callbacks(pp_pool *pool)
{
    return run_callbacks(pool, SIZE_MAX);
}

static size_t length_of(const struct ppi_list *list)
{
    size_t length = 0;

    for (struct ppi_link *link = list->head.next; link != &list->head; link = link->next)
        length++;
    return length;
}

int ppi_run_callbacks_once(pp_pool *pool)
{
    return run_callbacks(pool, length_of(&pool->due) + length_of(&pool->deaths));
}

/* ---- The service thread ---- */

void ppi_rouse(pp_pool *pool)
{
    if (ppi_has_due(pool) && !pool->gone)
        ppi_ring_event(pool->queue); /* there is a callback for pp_poll() */
    if (pool->dozing)
        ppi_rouse_service(pool->queue);
    if (pool->resting)
        pthread_cond_signal(&pool->work);
}

void ppi_put_on_duty(pp_pool *pool)
{
    pool->on_duty = true;
    ppi_rouse(pool);
}

/* Whether there is no callback to wait for any more, or one to be run. */
static bool nothing_expected(void *what)
{
    pp_pool *pool = what;

    return pool->stop_serving || pool->lost || pool->expected == 0 || ppi_has_due(pool);
}

/* Whether the backlog does not depend on what the workers show any more. */
static bool nothing_paced(void *what)
{
    pp_pool *pool = what;

    return pool->stop_serving || pool->lost || pool->expected > 0 || ppi_has_due(pool) ||
           !ppi_feeds_by_pace(pool);
}

/* Sleeps until the service bell has another value than this. */
static void sleep_on_bell(pp_pool *pool, uint32_t bell)
{
    pool->dozing = true;
    pthread_mutex_unlock(&pool->lock);
    PPI_POINT(CLIENT_DOZES);
    ppi_service_doze(pool->queue, bell);
    PPI_POINT(CLIENT_DOZED);
    pthread_mutex_lock(&pool->lock);
    pool->dozing = false;
    ppi_notify(pool); /* somebody may wait for us to be out of shared memory */
}

/* Sleeps until taking in records is pressing, and does it. */
static void doze(pp_pool *pool)
{
    uint32_t bell = ppi_service_announce(pool->queue);
    bool idle = ppi_anybody_sleeps(pool->queue); /* then any news are pressing */

    PPI_POINT(CLIENT_DOZE_ANNOUNCED);
    if (!ppi_news(pool, idle ? 1 : PPI_PRESSING) && !ppi_lost(pool))
        sleep_on_bell(pool, bell);
    if (!pool->lost)
        ppi_look(pool);
}

/* The same for deaths alone: what workers do does not wake us. */
static void watch(pp_pool *pool)
{
    uint32_t bell = ppi_service_bell(pool->queue);

    pool->on_duty = false;
    if (!ppi_control_news(pool) && !ppi_lost(pool))
        sleep_on_bell(pool, bell);
    if (!pool->lost)
        ppi_look(pool);
}

static void rest(pp_pool *pool)
{
    pool->on_duty = false;
    pool->resting = true;
    PPI_POINT(CLIENT_RESTS);
    pthread_cond_wait(&pool->work, &pool->lock);
    pool->resting = false;
}

static void *serve(void *what)
{
    pp_pool *pool = what;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stop_serving) {
        if (ppi_run_callbacks(pool) > 0)
            continue;
        if (pool->lost || (pool->expected == 0 && !pool->on_duty && !pool->on_death))
            rest(pool);
        else if (pool->expected == 0 && !pool->on_duty)
            watch(pool);
        else if (pool->expected > 0)
            ppi_wait_until(pool, nothing_expected, pool, PPI_NEVER);
        else if (ppi_feeds_by_pace(pool))
            ppi_wait_until(pool, nothing_paced, pool, PPI_NEVER);
        else if (pool->used > 0 || !ppi_list_empty(&pool->backlog))
            doze(pool);
        else
            pool->on_duty = false;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int ppi_serve(pp_pool *pool)
{
    sigset_t before;
    int error;

    if (pool->served || pool->mode == PP_CALLBACKS_POLL)
        return 0;
    ppi_block_signals(&before);
    error = pthread_create(&pool->service, NULL, serve, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pool->served = error == 0;
    return -error;
}

void ppi_stop_serving(pp_pool *pool)
{
    bool served;

    pthread_mutex_lock(&pool->lock);
    served = pool->served;
    pool->stop_serving = true;
    PPI_POINT(CLIENT_SERVICE_ENDS);
    pool->served = false;
    ppi_rouse(pool);
    ppi_notify(pool);
    pthread_mutex_unlock(&pool->lock);
    if (served)
        pthread_join(pool->service, NULL);
}
