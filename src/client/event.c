/* SPDX-License-Identifier: MIT */
/*
 * Event loops: with PP_CALLBACKS_POLL the library waits nowhere by itself.  The program
 * waits, for one descriptor, and calls pp_poll() when that is readable.
 *
 * The descriptor is an epoll instance over three others: the event, a waker that is
 * signalled by whoever brings something; the supervisor's pidfd, for a supervisor that is
 * killed signals nobody; and a timer for the time when nothing has come for long, for a
 * task may have damaged what says that we wait.  See ppi_ring_event() for the order of things.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/point.h"
#include "base/public.h"
#include "client/client.h"
#include "queue/wake.h"

static int add(pp_pool *pool, int fd)
{
    struct epoll_event readable = { .events = EPOLLIN };

    return epoll_ctl(pool->loop, EPOLL_CTL_ADD, fd, &readable) < 0 ? -errno : 0;
}

static int add_timer(pp_pool *pool)
{
    pool->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return pool->timer < 0 ? -errno : add(pool, pool->timer);
}

int ppi_loop_open(pp_pool *pool)
{
    int error;

    if (pool->mode != PP_CALLBACKS_POLL)
        return 0;
    pool->loop = epoll_create1(EPOLL_CLOEXEC);
    if (pool->loop < 0)
        return -errno;
    error = add(pool, pool->queue->event.reader);
    if (!error && ppi_is_isolated(pool))
        error = add_timer(pool);
    return error || pool->supervisor < 0 ? error : add(pool, pool->supervisor);
}

void ppi_loop_close(pp_pool *pool)
{
    if (pool->timer >= 0)
        close(pool->timer);
    if (pool->loop >= 0)
        close(pool->loop);
    ppi_loop_init(pool);
    ppi_waker_close(&pool->queue->event);
}

void ppi_loop_forget_supervisor(pp_pool *pool)
{
    /* Closing the pidfd would do only if no child of the program's had a copy. */
    if (pool->loop >= 0 && pool->supervisor >= 0)
        epoll_ctl(pool->loop, EPOLL_CTL_DEL, pool->supervisor, NULL);
}

/* Locked.  Whether pp_poll() would find something to do. */
static bool has_work(const pp_pool *pool)
{
    if (ppi_has_due(pool) && !pool->calling)
        return true; /* while one is being called it is its thread that goes on */
    return !pool->lost && (ppi_news(pool, 1) || ppi_lost(pool));
}

void ppi_loop_set_timer(pp_pool *pool)
{
    uint64_t time_ns = pool->watched && !pool->lost ? ppi_doubt_time(pool) : PPI_NEVER;
    struct itimerspec timer = { .it_value = ppi_timespec(time_ns == PPI_NEVER ? 0 : time_ns) };

    if (pool->timer < 0 || pool->timer_ns == time_ns)
        return;
    pool->timer_ns = time_ns;
    timerfd_settime(pool->timer, TFD_TIMER_ABSTIME, &timer, NULL);
}

void ppi_loop_begin(pp_pool *pool)
{
    if (!pool->watched || pool->used == 0)
        return;
    ppi_trust(pool);
    ppi_loop_set_timer(pool);
}

/* Locked.  The descriptor is readable from now on if, and as soon as, there is work. */
static void watch(pp_pool *pool)
{
    ppi_loop_set_timer(pool);
    if (!pool->watched || pool->gone)
        return;
    ppi_event_announce(pool->queue);
    PPI_POINT(CLIENT_EVENT_LOOKS);
    if (has_work(pool))
        ppi_ring_event(pool->queue);
}

PPI_PUBLIC int pp_pool_fd(pp_pool *pool)
{
    int error = ppi_check_pool(pool);

    if (error)
        return error;
    if (pool->mode != PP_CALLBACKS_POLL)
        return -EINVAL;
    pthread_mutex_lock(&pool->lock);
    if (!pool->watched) { /* who never asks for it does not pay for its signals */
        pool->watched = true;
        ppi_loop_begin(pool);
        watch(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return pool->loop;
}

PPI_PUBLIC int pp_poll(pp_pool *pool)
{
    int error = ppi_check_pool(pool), count;

    if (error)
        return error;
    if (pool->mode != PP_CALLBACKS_POLL)
        return -EINVAL;
    pthread_mutex_lock(&pool->lock);
    if (ppi_in_callback(pool)) {
        count = -EDEADLK;
    } else {
        ppi_look(pool);
        count = ppi_run_callbacks_once(pool);
        watch(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return count;
}
