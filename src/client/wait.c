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

#define FIRST_PATIENCE_NS UINT64_C(100000000)

void ppi_notify(pp_pool *pool)
{
    if (pool->followers > 0)
        pthread_cond_broadcast(&pool->progress);
    if (pool->led) /* the leader sleeps: it may be what it waits for */
        ppi_wake_leader(pool->queue);
}

void ppi_look(pp_pool *pool)
{
    if (pool->gone)
        return;
    if (ppi_take_in(pool)) {
        pool->patience_ns = 0;
        ppi_feed(pool);
    }
    ppi_notice_loss(pool);
}

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

/* How long who waits does so without a doubt. */
static uint64_t patience(const pp_pool *pool)
{
    return pool->patience_ns ? pool->patience_ns : FIRST_PATIENCE_NS;
}

/*
 * A task may have damaged claim words and lived: then nobody runs what is queued, and nothing
 * comes.  So words are looked at after a tenth of a second of that, and then each time after
 * twice as long: in an hour, 16 times.  A task that is alone can only have damaged its own,
 * which shows when it ends; and for a single pp_apply() a timer would be some 5 % of its time.
 */
static uint64_t audit_time(const pp_pool *pool)
{
    return pool->used > 1 && ppi_is_isolated(pool) ? ppi_now_ns() + patience(pool) : PPI_NEVER;
}

static void lose_patience(pp_pool *pool)
{
    pool->patience_ns = 2 * patience(pool);
    if (!pool->gone && !pool->lost)
        ppi_audit(pool, -1);
}

/* Sleeps until there is something to take in, unless there is already. */
static int lead(pp_pool *pool, bool (*done)(void *what), void *what, uint64_t deadline_ns)
{
    uint64_t one, audit_ns;
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
    audit_ns = audit_time(pool);
    pthread_mutex_unlock(&pool->lock);
    PPI_POINT(CLIENT_SLEEPS);
    error = ppi_client_sleep(pool->queue, bell, audit_ns < deadline_ns ? audit_ns : deadline_ns);
    PPI_POINT(CLIENT_WOKEN);
    pthread_mutex_lock(&pool->lock);
    pool->led = pool->choosy = pool->alone = false;
    PPI_POINT(CLIENT_STOPS_LEADING);
    if (error == -ETIMEDOUT && audit_ns < deadline_ns) {
        lose_patience(pool);
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
        if (!pool->led)
            ppi_look(pool);
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
