/* SPDX-License-Identifier: MIT */
/*
 * Waiting in the client.  Of all threads that wait, one leads: it sleeps on the
 * client's bell, takes in what workers have done for all of them, feeds the backlog
 * and tells the others, which sleep on a condition of this process.  When its own
 * wait is over another takes its place.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/point.h"
#include "client/client.h"
#include "queue/wake.h"

uint64_t ppi_first_patience_ns = 100 * PPI_MS;

/* Of those who wait without ever sleeping, one look of so many is at the clock, too. */
#define CLOCK_EVERY 64

void ppi_notify(pp_pool *pool)
{
    if (pool->followers > 0)
        pthread_cond_broadcast(&pool->progress);
    if (pool->led) /* the leader sleeps: it may be what it waits for */
        ppi_wake_leader(pool->queue);
}

/* ---- Doubt ---- */

/* From now on, for so long. */
static void trust(pp_pool *pool, uint64_t now_ns, uint64_t patience_ns)
{
    pool->patience_ns = patience_ns;
    pool->doubt_ns = now_ns + patience_ns;
    pool->trusted = pool->tail;
}

/* Whether a task has been in flight all the time. */
static bool is_anything_late(const pp_pool *pool)
{
    for (size_t slot = 0; slot < ppi_flights_end(pool); slot++) {
        const struct ppi_flight *flight = &pool->flights[slot];

        if (flight->result && !flight->withdrawn && flight->position < pool->trusted)
            return true;
    }
    return false;
}

/*
 * A task may have damaged the claims part and lived: then a task that is queued is seen by
 * nobody, or who could run it is not woken, or we are not.  So words are looked at, and all are
 * woken, when a task has been in flight for a tenth of a second, and then each time after twice
 * as long: in an hour, 16 times.
 */
static void doubt(pp_pool *pool)
{
    bool late = is_anything_late(pool);

    trust(pool, ppi_now_ns(), late ? 2 * pool->patience_ns : ppi_first_patience_ns);
    if (!late || pool->lost || pool->gone)
        return;
    ppi_audit(pool, -1);
    ppi_take_in(pool); /* what has ended by that may end more, and has made room */
    ppi_feed(pool);
}

uint64_t ppi_doubt_time(const pp_pool *pool)
{
    return pool->used > 0 && ppi_is_isolated(pool) ? pool->doubt_ns : PPI_NEVER;
}

void ppi_trust(pp_pool *pool)
{
    trust(pool, ppi_coarse_now_ns(), ppi_first_patience_ns);
}

/* ---- Looking ---- */

static void look(pp_pool *pool)
{
    if (pool->gone)
        return;
    if (ppi_take_in(pool)) {
        if (pool->patience_ns > ppi_first_patience_ns) /* others may come as soon */
            ppi_trust(pool);
        ppi_feed(pool);
    }
    ppi_notice_loss(pool);
}

void ppi_look(pp_pool *pool)
{
    look(pool);
    if (ppi_now_ns() >= ppi_doubt_time(pool))
        doubt(pool);
}

/* Before waiting, or waiting on: that knows of the time.  But it may always end at once. */
static void look_while_waiting(pp_pool *pool)
{
    if (++pool->glances % CLOCK_EVERY == 0)
        ppi_look(pool);
    else
        look(pool);
}

/* ---- Waiting asleep ---- */

static int follow(pp_pool *pool, uint64_t deadline_ns)
{
    struct timespec deadline = ppi_timespec(deadline_ns);
    int error, cancelable;

    if (pool->choosy)
        ppi_wake_leader(pool->queue); /* it leads for us, too */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelable); /* we hold the lock */
    pool->followers++;
    PPI_POINT(CLIENT_FOLLOWS);
    error = deadline_ns == PPI_NEVER
                ? pthread_cond_wait(&pool->progress, &pool->lock)
                : pthread_cond_clockwait(&pool->progress, &pool->lock, CLOCK_MONOTONIC,
                                         &deadline);
    pool->followers--;
    pthread_setcancelstate(cancelable, NULL);
    return error == ETIMEDOUT ? -ETIMEDOUT : 0;
}

/* ---- Waiting awake ---- */

struct glance {
    const pp_pool *pool;
    uint32_t bell; /* that other threads of ours ring */
};

static bool has_news(const void *what)
{
    const struct glance *glance = what;
    const pp_pool *pool = glance->pool;

    return ppi_news(pool, 1) ||
           atomic_load_explicit(&pool->queue->claims->client_bell, memory_order_relaxed) !=
               glance->bell;
}

/* Whether workers can go on while this thread stays awake. */
static bool has_room(pp_pool *pool)
{
    const struct ppi_queue *queue = pool->queue;

    if (queue->spin_ns == 0 || pool->used == 0 || ppi_awake(queue) >= queue->cpus)
        return false;
    ppi_publish_cpu(queue, &queue->shm->client_cpu);
    return ppi_awake_elsewhere(queue, ppi_cpu(queue)) && ppi_spin_pays(&pool->spin);
}

/* Whether that was enough: there are news. */
static bool lead_awake(pp_pool *pool)
{
    struct glance glance = { pool, atomic_load(&pool->queue->claims->client_bell) };
    bool found;

    if (!has_room(pool))
        return false;
    pool->led = true;
    pthread_mutex_unlock(&pool->lock);
    PPI_POINT(CLIENT_SPINS);
    found = ppi_spin_for(&pool->spin, pool->queue, has_news, &glance);
    pthread_mutex_lock(&pool->lock);
    pool->led = false;
    if (found)
        ppi_notify(pool); /* as below */
    else
        ppi_hint(pool->queue); /* who was awake has not been woken by one that began to die */
    return found;
}

/*
 * What the leader has to be woken for.  With nobody else to care for, that is the end of the
 * one task that it waits for; or, of a map, when all that is in flight is the map's and no
 * more of it has to be fed, that a worker has nothing to do: each wake-up before takes a CPU
 * from the workers.  Records can wait: for many a worker wakes the service thread, or us.
 */
static uint64_t wanted(const pp_pool *pool, const pp_result *result)
{
    const struct ppi_flight *newest;

    if (!result || result->stop_on_error || pool->followers > 0 || pool->expected > 0 ||
        !ppi_list_empty(&pool->iterators) || result->next < result->count)
        return PPI_ANYTHING;
    newest = &pool->flights[result->newest % PPI_WINDOW];
    if (result->in_flight == 1 && newest->result == result)
        return newest->position;
    return result->in_flight == pool->used && ppi_list_empty(&pool->backlog)
               ? PPI_NONE_IN_PARTICULAR
               : PPI_ANYTHING;
}

/* Sleeps until there is something to take in, unless there is already. */
static int lead(pp_pool *pool, bool (*done)(void *what), void *what, uint64_t deadline_ns)
{
    uint64_t one, doubt_ns;
    uint32_t bell;
    int error;

    if (lead_awake(pool))
        return 0;
    one = wanted(pool, done == ppi_is_there_for_me ? what : NULL);
    bell = ppi_client_announce(pool->queue, one);
    PPI_POINT(CLIENT_ANNOUNCED);
    if (ppi_news(pool, 1) || ppi_lost(pool) || done(what)) {
        ppi_notify(pool); /* as below, for who came while we were awake */
        return 0;
    }
    pool->led = true;
    pool->choosy = one != PPI_ANYTHING;
    pool->alone = one == PPI_NONE_IN_PARTICULAR;
    doubt_ns = ppi_doubt_time(pool);
    pthread_mutex_unlock(&pool->lock);
    PPI_POINT(CLIENT_SLEEPS);
    error = ppi_client_sleep(pool->queue, bell, doubt_ns < deadline_ns ? doubt_ns : deadline_ns);
    PPI_POINT(CLIENT_WOKEN);
    pthread_mutex_lock(&pool->lock);
    pool->led = pool->choosy = pool->alone = false;
    PPI_POINT(CLIENT_STOPS_LEADING);
    if (error == -ETIMEDOUT && doubt_ns < deadline_ns) {
        doubt(pool);
        error = 0;
    }
    ppi_notify(pool); /* somebody must lead, and we may be about to leave */
    return error == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

int ppi_wait_until(pp_pool *pool, bool (*done)(void *what), void *what, uint64_t deadline_ns)
{
    int error = 0;

    for (;;) {
        if (done(what))
            return 0;
        if (!pool->led && (error || deadline_ns == 0))
            ppi_look(pool);
        else if (!pool->led)
            look_while_waiting(pool);
        if (pool->mode == PP_CALLBACKS_POLL && !pool->calling && ppi_run_callbacks(pool) > 0)
            continue;
        if (done(what))
            return 0;
        if (ppi_run_inline(pool))
            continue;
        if (error == -ETIMEDOUT || deadline_ns == 0)
            return -ETIMEDOUT;
        if (ppi_draw_for_waiter(pool)) {
            if (deadline_ns != PPI_NEVER && ppi_now_ns() >= deadline_ns)
                error = -ETIMEDOUT;
            continue;
        }
        /* When no worker is left only other threads can bring anything about. */
        error = pool->led || pool->lost || pool->start == PP_INLINE
                    ? follow(pool, deadline_ns)
                    : lead(pool, done, what, deadline_ns);
    }
}

int ppi_wait_for(pp_result *result, uint64_t deadline_ns)
{
    return ppi_wait_until(result->pool, ppi_is_there_for_me, result, deadline_ns);
}
