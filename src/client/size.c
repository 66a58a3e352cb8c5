/* SPDX-License-Identifier: MIT */
/* How many workers a pool has, and where they run. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/point.h"
#include "base/public.h"
#include "client/client.h"

/* What pp_pool_resize() may ask for, unless .max_processes says otherwise: so many workers, or
   so many times those that there are at first. */
#define ROOM_FOR 32
#define ROOM_FACTOR 2

/* ---- Options ---- */

static bool has_cpu(const unsigned *cpus, size_t count, int cpu)
{
    for (size_t i = 0; i < count; i++)
        if (cpu >= 0 && cpus[i] == (unsigned)cpu)
            return true;
    return false;
}

/* "0-3,8", or as much of it as there is room for. */
static void spell_cpus(const unsigned *cpus, size_t count, char *text, size_t size)
{
    size_t at = 0, first = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count && at < size; i++) {
        if (i + 1 < count && cpus[i + 1] == cpus[i] + 1)
            continue;
        at += (size_t)snprintf(text + at, size - at, "%s%u", first > 0 ? "," : "", cpus[first]);
        if (i > first && at < size)
            at += (size_t)snprintf(text + at, size - at, "-%u", cpus[i]);
        first = i + 1;
    }
}

/* Whether the CPUs that were given can be used; otherwise says why not. */
static void check_cpus(const pp_pool_options *options, char *why, size_t size)
{
    size_t count = 0;
    unsigned *allowed = ppi_allowed_cpus(&count);
    char all[64];

    spell_cpus(allowed, count, all, sizeof all);
    for (int i = 0; allowed && i < options->cpu_count; i++)
        if (!has_cpu(allowed, count, options->cpus[i])) {
            snprintf(why, size, "cpus[%d] is %d: this process may use CPU%s %s", i,
                     options->cpus[i], count == 1 ? "" : "s", all);
            break;
        }
    free(allowed);
}

int ppi_check_size(const pp_pool_options *options, char *why, size_t size)
{
    if (options->processes < 0 || options->processes > PPI_MAX_WORKERS)
        snprintf(why, size, "processes is %d: it must be 1 to %d, or 0 for the number of CPUs",
                 options->processes, PPI_MAX_WORKERS);
    else if (options->max_processes < 0 || options->max_processes > PPI_MAX_WORKERS)
        snprintf(why, size, "max_processes is %d: it must be 1 to %d, or 0 for enough",
                 options->max_processes, PPI_MAX_WORKERS);
    else if (options->max_processes > 0 && options->max_processes < options->processes)
        snprintf(why, size, "max_processes is %d: it must not be less than processes, %d",
                 options->max_processes, options->processes);
    else if (options->cpu_count < 0)
        snprintf(why, size, "cpu_count is %d: it must not be negative", options->cpu_count);
    else if (options->cpu_count > 0 && !options->cpus)
        snprintf(why, size, "cpu_count is %d, but there are no cpus", options->cpu_count);
    else if (options->cpus && options->cpu_count == 0)
        snprintf(why, size, "cpus are given, but cpu_count is 0");
    else if (options->cpus)
        check_cpus(options, why, size);
    return *why ? EINVAL : 0;
}

static unsigned at_most(unsigned number, unsigned most)
{
    return number < most ? number : most;
}

static unsigned at_least(unsigned number, unsigned least)
{
    return number > least ? number : least;
}

struct ppi_size ppi_size_of(const pp_pool_options *options, unsigned cpus)
{
    struct ppi_size size = { .workers = (unsigned)options->processes,
                             .most = (unsigned)options->max_processes };

    if (options->start == PP_INLINE)
        return (struct ppi_size){ .workers = 1, .most = 1, .seats = 1 };
    if (options->cpus)
        cpus = at_most(cpus, (unsigned)options->cpu_count);
    if (size.workers == 0)
        size.workers = at_most(cpus, size.most > 0 ? size.most : PPI_MAX_WORKERS);
    if (size.most == 0)
        size.most = at_most(at_least(ROOM_FACTOR * size.workers, ROOM_FOR), PPI_MAX_WORKERS);
    /* A seat is taken until we have emptied it, and its worker's successor needs another. */
    size.seats = size.most + at_least(size.most, 32);
    return size;
}

/* ---- Pinning ---- */

int ppi_say_pins(struct ppi_queue *queue, const pp_pool_options *options)
{
    struct ppi_queue_shm *shm = queue->shm;
    size_t count = (size_t)options->cpu_count;
    unsigned *allowed = NULL;

    if (!options->pin && !options->cpus)
        return 0;
    if (!options->cpus && !(allowed = ppi_allowed_cpus(&count)))
        return -ENOMEM;
    shm->pin_count = (uint32_t)(count < PPI_MAX_SEATS ? count : PPI_MAX_SEATS);
    for (uint32_t i = 0; i < shm->pin_count; i++)
        shm->pins[i] = allowed ? allowed[i] : (uint32_t)options->cpus[i];
    free(allowed);
    return 0;
}

/* ---- Resizing ---- */

/* The two oldest sizes become one, their average. */
static void forget_oldest(pp_pool *pool)
{
    uint64_t begin = pool->sizes[0].since_ns;
    double first = (double)(pool->sizes[1].since_ns - begin);
    double both = (double)(pool->sizes[2].since_ns - begin);

    if (both > 0)
        pool->sizes[0].workers =
            (pool->sizes[0].workers * first + pool->sizes[1].workers * (both - first)) / both;
    pool->sizes_known--;
    memmove(&pool->sizes[1], &pool->sizes[2], (pool->sizes_known - 1) * sizeof pool->sizes[0]);
}

void ppi_set_size(pp_pool *pool, unsigned workers)
{
    if (pool->sizes_known == PPI_SIZES_KNOWN)
        forget_oldest(pool);
    pool->sizes[pool->sizes_known].since_ns = ppi_now_ns();
    pool->sizes[pool->sizes_known++].workers = workers;
    atomic_store_explicit(&pool->queue->shm->workers, workers, memory_order_relaxed);
}

double ppi_worked_ns(const pp_pool *pool, uint64_t since_ns)
{
    uint64_t until = ppi_now_ns();
    double worked = 0;

    for (unsigned i = pool->sizes_known; i-- > 0 && until > since_ns;) {
        uint64_t from = pool->sizes[i].since_ns > since_ns ? pool->sizes[i].since_ns : since_ns;

        if (from < until)
            worked += pool->sizes[i].workers * (double)(until - from);
        until = from < until ? from : until;
    }
    return worked;
}

/* Locked. */
static int check_resizable(pp_pool *pool)
{
    if (!pool->gone && ppi_lost(pool))
        ppi_notice_loss(pool);
    if (pool->phase == PPI_IS_TERMINATED)
        return -ESHUTDOWN;
    if (!pool->lost)
        return 0;
    return pool->phase == PPI_IS_OPEN || pool->loss == PP_BROKEN ? -ENOTRECOVERABLE
                                                                 : -ESHUTDOWN;
}

static void resize(pp_pool *pool, unsigned workers)
{
    if (workers == ppi_queue_workers(pool->queue))
        return;
    ppi_set_size(pool, workers);
    PPI_POINT(CLIENT_RESIZED);
    ppi_poke(pool);
    ppi_feed(pool); /* more may be in flight now */
    ppi_notify(pool);
}

PPI_PUBLIC int pp_pool_resize(pp_pool *pool, int processes)
{
    int error = ppi_check_pool(pool);

    if (!error && processes < 1)
        error = -EINVAL;
    if (!error && pool->start == PP_INLINE)
        error = -ENOTSUP;
    if (!error && (unsigned)processes > pool->most)
        error = -ERANGE;
    if (error)
        return error;
    pthread_mutex_lock(&pool->lock);
    error = check_resizable(pool);
    if (!error)
        resize(pool, (unsigned)processes);
    pthread_mutex_unlock(&pool->lock);
    return error;
}
