/* SPDX-License-Identifier: MIT */
/*
 * Looking into a pool.
 *
 * What items have come to is counted here, as their outcomes are taken in; what workers do
 * now is read from their seats, of which nothing is believed: a number may be wrong, but a
 * task is one that is in flight.
 */
#include "base/clock.h"
#include "base/public.h"
#include "client/client.h"

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/*
 * Locked.  Whether somebody lives on a seat.  A worker may be there before the supervisor comes
 * to say so; otherwise, if it is not said, it is dead, and that was recorded before.
 */
static bool is_alive(const pp_pool *pool, unsigned seat)
{
    uint32_t state = atomic_load_explicit(&pool->queue->control->seats[seat].state,
                                          memory_order_acquire);

    return state == PPI_LIVE || (ppi_is_taken(pool, seat) && !ppi_control_news(pool));
}

/* ---- The pool ---- */

/* Locked. */
static int living(const pp_pool *pool)
{
    int count = 0;

    if (pool->lost)
        return 0;
    /* Seats are given out from the first on: behind one that never was, none was. */
    for (unsigned seat = 0; ppi_announced(pool, seat) != 0; seat++)
        count += is_alive(pool, seat);
    return count;
}

/* Locked.  How many of the items that were submitted are where. */
static void count_items(pp_pool *pool, pp_stats *stats)
{
    struct ppi_counts *counts = &pool->counts;
    size_t done = counts->done, left;

    if (!pool->lost && pool->used > 0)
        done += ppi_done_on_seats(pool, NULL, &stats->running);
    if (done > counts->shown)
        counts->shown = done < counts->submitted ? done : counts->submitted;
    left = counts->submitted - counts->shown;
    if (stats->running > left)
        stats->running = left;
    stats->queued = left - stats->running;
    stats->done = counts->shown;
    stats->failed = counts->failed;
}

/* Locked. */
static pp_stats measure(pp_pool *pool)
{
    const struct ppi_counts *counts = &pool->counts;
    pp_stats stats = {
        .start = pool->start,
        .processes = pool->gone ? pool->processes : (int)ppi_queue_workers(pool->queue),
        .workers = living(pool),
        .bytes_in = counts->bytes_in,
        .bytes_out = counts->bytes_out,
        .deaths = counts->deaths,
        .retired = counts->retired,
        .elapsed = seconds((pool->gone ? pool->gone_ns : ppi_now_ns()) - pool->made_ns),
    };

    count_items(pool, &stats);
    return stats;
}

PPI_PUBLIC pp_stats pp_stats_of(pp_pool *pool)
{
    pp_stats stats = { 0 };

    if (ppi_check_pool(pool) != 0)
        return stats;
    pthread_mutex_lock(&pool->lock);
    ppi_look(pool);
    stats = measure(pool);
    pthread_mutex_unlock(&pool->lock);
    return stats;
}

/* ---- Its workers ---- */

/* Tasks may be so short that one ends whenever we look; then a tally may be one behind. */
#define MOST_TRIES 10

/* What a worker says that it has run. */
struct tally {
    uint64_t tasks, items;
    bool busy; /* with another task than these */
};

/* Partner: count() in the worker, which says last what it has counted. */
static struct tally tally_of(const struct ppi_seat_shm *shm)
{
    struct tally tally;
    uint64_t counted;
    int tries = 0;

    do {
        counted = atomic_load_explicit(&shm->counted, memory_order_acquire);
        tally.tasks = atomic_load_explicit(&shm->tasks, memory_order_relaxed);
        tally.items = atomic_load_explicit(&shm->items, memory_order_relaxed);
        tally.busy = atomic_load_explicit(&shm->runs, memory_order_relaxed) != counted;
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load_explicit(&shm->counted, memory_order_relaxed) != counted &&
             ++tries < MOST_TRIES);
    return tally;
}

/* Adds what is done of the task that it is at. */
static void add_running(const pp_pool *pool, unsigned seat, pp_worker_stats *stats)
{
    const struct ppi_flight *flight = ppi_flight_on(pool, seat);
    uint64_t item, first;

    if (!flight)
        return;
    stats->function = flight->result->task->name;
    first = flight->begin + flight->others;
    item = atomic_load_explicit(&ppi_queue_seat(pool->queue, seat)->item, memory_order_relaxed);
    item = item < flight->end ? item : flight->end; /* whatever it says */
    stats->items += item > first ? item - first : 0;
}

/* How long it has been ready, and of this without a task. */
static void add_times(const struct ppi_seat_shm *shm, uint64_t now, pp_worker_stats *stats)
{
    uint64_t ready = atomic_load_explicit(&shm->ready_at, memory_order_relaxed);
    uint64_t waiting = atomic_load_explicit(&shm->waiting, memory_order_relaxed);
    uint64_t age = ready != 0 && ready < now ? now - ready : 0;

    if (waiting & PPI_WAITS)
        waiting = now - (waiting & ~PPI_WAITS);
    if (waiting > age) /* whatever it says */
        waiting = age;
    stats->waiting = seconds(waiting);
    stats->busy = seconds(age - waiting);
}

static pp_worker_state state_of(const pp_pool *pool, unsigned seat, bool busy)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);
    uint32_t state = atomic_load_explicit(&shm->state, memory_order_acquire);

    return state == PPI_SEAT_STARTING ? PP_WORKER_STARTING
           : state != PPI_SEAT_READY  ? PP_WORKER_LEAVING
           : busy                     ? PP_WORKER_BUSY
                                      : PP_WORKER_IDLE;
}

/* Locked. */
static pp_worker_stats measure_worker(const pp_pool *pool, unsigned seat, uint64_t now)
{
    const struct ppi_control_seat_shm *shown = &pool->queue->control->seats[seat];
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);
    uint32_t id = atomic_load_explicit(&shown->id, memory_order_relaxed);
    const struct ppi_deaths_of *deaths = &pool->deaths_of[id % PPI_MAX_SEATS];
    pp_worker_stats stats = {
        .id = (int)id,
        .incarnation = (int)atomic_load_explicit(&shown->life, memory_order_relaxed),
        .pid = atomic_load_explicit(&shown->pid, memory_order_relaxed),
        .deaths = deaths->count,
        .cause = (pp_cause)deaths->cause,
        .signal = deaths->signal,
        .status = deaths->status,
    };
    struct tally tally;

    if (atomic_load_explicit(&shm->incarnation, memory_order_acquire) !=
        ppi_announced(pool, seat))
        return stats; /* it has not come so far as to say something */
    tally = tally_of(shm);
    stats.tasks = tally.tasks;
    stats.items = tally.items;
    stats.state = state_of(pool, seat, tally.busy);
    if (tally.busy)
        add_running(pool, seat, &stats);
    add_times(shm, now, &stats);
    return stats;
}

/* Locked.  The seats of the living, by their workers' ids; how many there are. */
static size_t sort_seats(const pp_pool *pool, uint16_t sorted[PPI_MAX_SEATS])
{
    uint32_t lives[PPI_MAX_SEATS] = { 0 }; /* by id: the seat's, if there is one */
    uint16_t seats[PPI_MAX_SEATS];
    size_t count = 0;

    for (unsigned seat = 0; ppi_announced(pool, seat) != 0; seat++) {
        const struct ppi_control_seat_shm *shown = &pool->queue->control->seats[seat];
        uint32_t id = atomic_load_explicit(&shown->id, memory_order_relaxed) % PPI_MAX_SEATS;
        uint32_t life = atomic_load_explicit(&shown->life, memory_order_relaxed);

        if (!is_alive(pool, seat) || life < lives[id])
            continue; /* in the latter case it has just died, and has a successor */
        lives[id] = life;
        seats[id] = (uint16_t)seat;
    }
    for (unsigned id = 0; id < pool->queue->seats; id++)
        if (lives[id] > 0)
            sorted[count++] = seats[id];
    return count;
}

PPI_PUBLIC size_t pp_worker_stats_of(pp_pool *pool, pp_worker_stats *workers, size_t room)
{
    uint16_t seats[PPI_MAX_SEATS];
    size_t count = 0;
    uint64_t now;

    if (ppi_check_pool(pool) != 0)
        return 0;
    pthread_mutex_lock(&pool->lock);
    ppi_look(pool);
    now = ppi_now_ns();
    if (!pool->lost)
        count = sort_seats(pool, seats);
    for (size_t i = 0; i < count && i < room && workers; i++)
        workers[i] = measure_worker(pool, seats[i], now);
    pthread_mutex_unlock(&pool->lock);
    return count;
}
