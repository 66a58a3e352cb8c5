/* SPDX-License-Identifier: MIT */
/*
 * Pools without workers: what is submitted runs in the thread that submits it, or that waits
 * for it.  One call at a time, whatever the number of threads.
 *
 * The task goes the same way as everywhere, through slot, claim and record, but nobody sleeps
 * and nobody is woken: who would wait runs a task instead.
 */
#include <unistd.h>

#include "client/client.h"
#include "queue/wake.h"

/* The pool of the task that this thread runs. */
static _Thread_local pp_pool *running;

/* A task that finds no room for its results: the client, which is us, takes them in. */
static int make_room(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    (void)word;
    (void)value;
    (void)deadline_ns;
    pthread_mutex_lock(&running->lock);
    ppi_drain(running);
    pthread_mutex_unlock(&running->lock);
    return 0;
}

static int wake_nobody(_Atomic uint32_t *word, int count)
{
    (void)word;
    (void)count;
    return 0;
}

int ppi_begin_inline(pp_pool *pool)
{
    struct ppi_control_shm *control = pool->queue->control;

    pool->inline_futex = ppi_futex;
    pool->inline_futex.wait = make_room;
    pool->inline_futex.wake = wake_nobody;
    pool->heritage.queue.futex = &pool->inline_futex;
    control->life = 1;
    control->seats_end = 1;
    control->seats[0].incarnation = control->seats[0].life = 1;
    control->seats[0].pid = getpid();
    control->seats[0].state = PPI_LIVE;
    running = pool;
    pool->inliner = ppi_inline_new(&pool->heritage, &control->failure_code, control->failure);
    running = NULL;
    control->state = pool->inliner ? PPI_POOL_RUNNING : PPI_POOL_BROKEN;
    return 0;
}

void ppi_end_inline(pp_pool *pool)
{
    struct ppi_worker *worker;

    while (pool->inlining) {
        pool->followers++;
        pthread_cond_wait(&pool->progress, &pool->lock);
        pool->followers--;
    }
    worker = pool->inliner;
    pool->inliner = NULL;
    if (!worker) /* another thread is at it, or was */
        return;
    pthread_mutex_unlock(&pool->lock); /* the finalizer is the user's */
    ppi_inline_free(worker, &pool->heritage);
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->queue->control->state, PPI_POOL_STOPPED);
    ppi_notify(pool);
}

bool ppi_in_inline_task(const pp_pool *pool)
{
    return pool->start == PP_INLINE && ppi_in_task_of(pool->queue);
}

/* The service thread runs what callbacks submit, and nothing else. */
static bool is_between_callbacks(const pp_pool *pool)
{
    return pool->served && pthread_equal(pool->service, pthread_self()) &&
           !ppi_in_callback(pool);
}

bool ppi_run_inline(pp_pool *pool)
{
    pp_pool *before = running;

    if (!pool->inliner || pool->inlining || pool->lost || pool->used == 0 ||
        is_between_callbacks(pool))
        return false;
    pool->inlining = true;
    running = pool;
    pthread_mutex_unlock(&pool->lock);
    ppi_inline_step(pool->inliner);
    pthread_mutex_lock(&pool->lock);
    running = before;
    pool->inlining = false;
    ppi_look(pool);
    ppi_notify(pool);
    return true; /* others may have done something meanwhile, too */
}

void ppi_run_all_inline(pp_pool *pool)
{
    if (!pool->inliner || ppi_in_inline_task(pool))
        return; /* in the latter case it runs when this task has ended */
    while (pool->inlining || ppi_run_inline(pool)) {
        if (!pool->inlining)
            continue;
        pool->followers++;
        pthread_cond_wait(&pool->progress, &pool->lock);
        pool->followers--;
    }
}
