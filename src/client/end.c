/* SPDX-License-Identifier: MIT */
/* How pools end: closed, terminated, broken or bereft of their supervisor. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/point.h"
#include "base/process.h"
#include "base/public.h"
#include "client/client.h"
#include "queue/wake.h"

static enum ppi_pool_state state_of(const pp_pool *pool)
{
    return atomic_load_explicit(&pool->queue->control->state, memory_order_acquire);
}

bool ppi_lost(const pp_pool *pool)
{
    return !pool->lost && (state_of(pool) >= PPI_POOL_BROKEN || ppi_supervisor_died(pool->queue));
}

/* Ends everything that has no outcome yet. */
static void end_open(pp_pool *pool, const pp_error *error)
{
    struct ppi_link *link, *next;

    for (size_t slot = 0; slot < ppi_flights_end(pool); slot++)
        if (pool->flights[slot].result)
            ppi_end_flight(pool, &pool->flights[slot]);
    for (link = pool->results.head.next; link != &pool->results.head; link = next) {
        pp_result *result = PPI_OWNER(link, pp_result, all);

        next = link->next;
        if (ppi_state(result) != PPI_OPEN)
            continue;
        ppi_fail_rest(result, error);
        result->next = result->count;
        ppi_count_rest(result, result->count - result->done);
        ppi_settle(result);
    }
}

static void await_orphan(pid_t pid, uint64_t deadline)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    int orphan = ppi_pidfd_open(pid);

    if (orphan < 0)
        return;
    while (!ppi_pidfd_dead(orphan) && ppi_now_ns() < deadline)
        nanosleep(&pause, NULL);
    close(orphan);
    waitpid(pid, NULL, WNOHANG);
}

/*
 * The supervisor has died and cannot wait for its workers any more: the kernel ends
 * them now.  They become our children if we are a subreaper.
 */
static void await_orphans(const pp_pool *pool)
{
    const struct ppi_control_shm *control = pool->queue->control;
    uint64_t deadline = ppi_now_ns() + PPI_SECOND;
    pid_t spare = atomic_load(&control->spare);

    for (unsigned seat = 0; seat < pool->queue->seats; seat++)
        if (atomic_load(&control->seats[seat].state) == PPI_LIVE)
            await_orphan(control->seats[seat].pid, deadline);
    if (spare)
        await_orphan(spare, deadline);
}

void ppi_notice_loss(pp_pool *pool)
{
    pp_error error = { .kind = PP_CRASHED, .message = "the pool's supervisor died" };
    char text[PPI_MESSAGE_SIZE];
    int cancelable;

    if (!ppi_lost(pool))
        return;
    pool->lost = true;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelable); /* we hold the lock */
    if (state_of(pool) < PPI_POOL_BROKEN)
        ppi_end_orphans(pool); /* before its number can be another's */
    if (!pool->leaving || state_of(pool) < PPI_POOL_BROKEN)
        ppi_reap_supervisor(pool); /* otherwise there is work to do while it ends */
    PPI_POINT(CLIENT_LOST);
    ppi_loop_forget_supervisor(pool);
    if (state_of(pool) < PPI_POOL_BROKEN)
        await_orphans(pool);
    pthread_setcancelstate(cancelable, NULL);
    PPI_POINT(CLIENT_ORPHANS_GONE);
    ppi_take_in(pool); /* what was committed before counts */
    if (pool->phase == PPI_IS_TERMINATED) {
        error.kind = PP_CANCELLED;
        error.message = "the pool was terminated";
    } else if (state_of(pool) == PPI_POOL_BROKEN) {
        pp_error failure = { 0 };

        ppi_describe_failure(pool, &failure, text, sizeof text);
        error = (pp_error){ .kind = PP_BROKEN, .message = text, .address = failure.address,
                            .backtrace = failure.backtrace };
    }
    pool->loss = error.kind;
    PPI_POINT(CLIENT_ENDS_OPEN);
    end_open(pool, &error);
    PPI_POINT(CLIENT_OPEN_ENDED);
    ppi_rouse(pool);
    ppi_notify(pool);
}

/* ---- Letting go ---- */

void ppi_shut_down(pp_pool *pool)
{
    int cancelable;

    if (pool->gone)
        return;
    while (pool->led || pool->dozing || pool->inlining) { /* on what we are about to unmap */
        pool->followers++;
        ppi_wake_leader(pool->queue);
        ppi_rouse(pool);
        pthread_cond_wait(&pool->progress, &pool->lock);
        pool->followers--;
    }
    if (pool->gone)
        return;
    pool->gone = true;
    if (pool->has_thread)
        ppi_reap_supervisor(pool); /* it uses what we are about to give back */
    pool->gone_ns = ppi_now_ns();
    pool->processes = (int)ppi_queue_workers(pool->queue);
    ppi_waker_close(&pool->queue->poke);
    ppi_buddy_destroy(&pool->arena);
    PPI_POINT(CLIENT_SHUTS_DOWN);
    ppi_queue_leave(pool->queue); /* shared memory stays until the pool is freed */
    PPI_POINT(CLIENT_LEFT_MEMORY);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelable); /* we hold the lock */
    if (pool->supervisor >= 0) {
        ppi_reap_supervisor(pool); /* it has been ending meanwhile */
        close(pool->supervisor);
    }
    if (pool->watched) { /* there is nothing more to come */
        ppi_waker_clear(&pool->queue->event);
        ppi_loop_set_timer(pool);
    }
    pthread_setcancelstate(cancelable, NULL);
}

/* ---- The interface ---- */

static bool is_lost(void *what)
{
    return ((pp_pool *)what)->lost;
}

static bool all_done(void *what)
{
    pp_pool *pool = what;

    return pool->open == 0 && !ppi_has_due(pool) && !pool->calling &&
           (pool->undrawn == 0 || pool->lost);
}

static bool all_told(void *what)
{
    pp_pool *pool = what;

    return pool->lost && !ppi_has_due(pool) && !pool->calling;
}

/*
 * Whether the supervisor, told to end, has to be told: unless a worker lives that it has not
 * found dead, whose end tells it, and it need not end a spare meanwhile.
 */
static bool needs_poke(const pp_pool *pool)
{
    const struct ppi_control_seat_shm *seats = pool->queue->control->seats;

    if (atomic_load_explicit(&pool->queue->control->spare, memory_order_relaxed))
        return true;
    for (unsigned seat = 0; seat < pool->queue->seats; seat++)
        if (atomic_load_explicit(&seats[seat].state, memory_order_relaxed) == PPI_LIVE)
            return false;
    return true;
}

static void command(pp_pool *pool, enum ppi_command command)
{
    if (pool->lost)
        return;
    PPI_POINT(CLIENT_COMMANDS);
    atomic_store_explicit(&pool->queue->shm->command, command, memory_order_release);
    PPI_POINT(CLIENT_COMMANDED);
    if (pool->start == PP_INLINE) {
        ppi_end_inline(pool);
        return;
    }
    atomic_thread_fence(memory_order_seq_cst); /* partner: obey() in the supervisor */
    if (command == PPI_FINISH)
        ppi_wake_to_end(pool->queue, 1);
    PPI_POINT(CLIENT_POKES);
    if (command != PPI_FINISH || needs_poke(pool))
        ppi_poke(pool);
}

/* Whether a task of this pool, one that runs in this process, asks for its end. */
static bool is_own_task(const pp_pool *pool)
{
    return !ppi_is_isolated(pool) && ppi_in_task_of(pool->queue);
}

PPI_PUBLIC int pp_close(pp_pool *pool)
{
    int error = ppi_check_pool(pool);

    if (error)
        return error;
    pthread_mutex_lock(&pool->lock);
    if (pool->phase == PPI_IS_OPEN)
        pool->phase = PPI_IS_CLOSED;
    PPI_POINT(CLIENT_CLOSED);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

static void move(struct ppi_link *link, struct ppi_list *to)
{
    ppi_list_remove(link);
    ppi_list_append(to, link);
}

/* What cannot be killed is not begun.  Cancelling one may be the end of others. */
static void cancel_all(pp_pool *pool)
{
    struct ppi_list left;

    ppi_list_init(&left);
    while (!ppi_list_empty(&pool->results))
        move(pool->results.head.next, &left);
    while (!ppi_list_empty(&left)) {
        pp_result *result = PPI_FIRST(&left, pp_result, all);

        move(&result->all, &pool->results);
        ppi_cancel(result, true, "the pool was terminated");
    }
}

static void terminate_locked(pp_pool *pool)
{
    pool->phase = PPI_IS_TERMINATED;
    if (!ppi_is_isolated(pool))
        cancel_all(pool);
    command(pool, PPI_TERMINATE);
    ppi_wait_until(pool, is_lost, pool, PPI_NEVER);
}

PPI_PUBLIC int pp_terminate(pp_pool *pool)
{
    int error = ppi_check_pool(pool);

    if (!error && is_own_task(pool))
        error = -EDEADLK;
    if (error)
        return error;
    pthread_mutex_lock(&pool->lock);
    terminate_locked(pool);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

PPI_PUBLIC int pp_join_with(pp_pool *pool, double timeout)
{
    int error = ppi_check_pool(pool);
    uint64_t deadline;

    if (!error && isnan(timeout))
        error = -EINVAL;
    if (error)
        return error;
    deadline = ppi_deadline_ns(timeout);
    pthread_mutex_lock(&pool->lock);
    if (ppi_in_callback(pool) || ppi_in_input(pool) || is_own_task(pool))
        error = -EDEADLK;
    else if (pool->phase == PPI_IS_OPEN)
        error = -EBUSY;
    if (!error) {
        pool->joined = true;
        while (ppi_draw_for_waiter(pool)) /* also when it does not wait */
            ;
        error = ppi_wait_until(pool, all_done, pool, deadline);
    }
    if (!error) {
        pool->leaving = true;
        command(pool, PPI_FINISH);
        error = ppi_wait_until(pool, all_told, pool, deadline); /* workers may die to the last */
        pool->leaving = error == 0;
    }
    if (!error)
        ppi_shut_down(pool);
    pthread_mutex_unlock(&pool->lock);
    if (!error)
        ppi_stop_serving(pool);
    return error;
}

/* Nobody wants to hear of these any more. */
static void drop_callbacks(pp_pool *pool)
{
    ppi_drop_deaths(pool);
    for (struct ppi_link *link = pool->results.head.next; link != &pool->results.head;
         link = link->next) {
        pp_result *result = PPI_OWNER(link, pp_result, all);

        result->callback = result->error_callback = NULL;
        if (ppi_state(result) == PPI_DONE && result != pool->called) {
            ppi_list_remove(&result->waiting);
            ppi_set_state(result, PPI_THERE);
        }
    }
}

PPI_PUBLIC int pp_pool_free(pp_pool *pool)
{
    if (!pool || !*pool->creator)
        return 0;
    pthread_mutex_lock(&pool->lock);
    if (ppi_in_callback(pool) || ppi_in_input(pool) || is_own_task(pool)) {
        pthread_mutex_unlock(&pool->lock);
        return -EDEADLK;
    }
    drop_callbacks(pool);
    pool->leaving = true;
    if (!pool->lost)
        terminate_locked(pool);
    pthread_mutex_unlock(&pool->lock);
    ppi_stop_serving(pool); /* a callback that is running ends first */
    pthread_mutex_lock(&pool->lock);
    PPI_POINT(CLIENT_FREES);
    ppi_shut_down(pool);
    ppi_free_iterators(pool);
    while (!ppi_list_empty(&pool->results))
        ppi_result_destroy(PPI_FIRST(&pool->results, pp_result, all));
    ppi_slab_destroy(&pool->slab);
    ppi_slab_destroy(&pool->chunks);
    pthread_mutex_unlock(&pool->lock);
    PPI_POINT(CLIENT_RESULTS_FREED);
    ppi_buddy_destroy(&pool->shared);
    ppi_queue_destroy(pool->queue);
    ppi_loop_close(pool);
    ppi_objects_destroy(pool->objects);
    ppi_forget_crashes(&pool->crashes);
    pthread_cond_destroy(&pool->progress);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    ppi_flights_free(pool->flights);
    munmap(pool->creator, PPI_PAGE);
    free(pool);
    return 0;
}
