/* SPDX-License-Identifier: MIT */
/* From a pool that is made to one that runs: its supervisor and its workers, or what stands
   for them. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/point.h"
#include "base/process.h"
#include "client/client.h"

/*
 * What streams hold would be written by the client, and again by each worker that
 * flushes or exits.
 */
static void flush_output(bool single_threaded)
{
    if (single_threaded) {
        fflush(NULL);
    } else if (ftrylockfile(stdout) == 0) { /* others may be locked by a thread that reads */
        fflush_unlocked(stdout);
        funlockfile(stdout);
    }
}

static int fork_supervisor(pp_pool *pool, bool single_threaded)
{
    sigset_t all, before;
    pid_t pid;
    int error = 0;

    sigfillset(&all); /* the client's handlers must not run in the child */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = single_threaded ? ppi_fork_quiet() : fork();
    if (pid == 0)
        ppi_supervisor_run(&pool->heritage);
    if (pid < 0)
        error = -errno;
    PPI_POINT(CLIENT_FORKED);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return error;
    pool->supervisor = ppi_pidfd_open(pid);
    PPI_POINT(CLIENT_HOLDS_SUPERVISOR);
    if (pool->supervisor >= 0)
        return 0;
    kill(pid, SIGKILL); /* its workers die of that */
    waitpid(pid, NULL, __WALL);
    return pool->supervisor;
}

/* What a fresh image of the program may take until main() calls pp_init(). */
#define IMAGE_PATIENCE_NS (20 * PPI_SECOND)

static int begin_thread(pp_pool *pool)
{
    sigset_t before;
    int error;

    ppi_block_signals(&before);
    error = ppi_supervisor_thread(&pool->heritage, &pool->thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pool->has_thread = error == 0;
    return error;
}

void ppi_reap_supervisor(pp_pool *pool)
{
    if (pool->supervisor >= 0)
        ppi_reap_quiet(pool->supervisor);
    if (pool->has_thread)
        pthread_join(pool->thread, NULL);
    pool->has_thread = false;
}

/* Whether a seat's first worker has been ready: otherwise there would not be a second one. */
static bool is_ready(const pp_pool *pool, unsigned seat)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);

    return ppi_announced(pool, seat) > 1 ||
           (atomic_load_explicit(&shm->incarnation, memory_order_acquire) != 0 &&
            atomic_load_explicit(&shm->state, memory_order_acquire) == PPI_SEAT_READY);
}

/*
 * Whether all workers are ready, or it came to nothing.  The last that is not shall wake
 * us, and no other: mostly it is the last of all.
 */
static bool has_started(void *what)
{
    pp_pool *pool = what;

    for (unsigned seat = ppi_queue_workers(pool->queue); seat-- > 0 && !pool->lost;) {
        atomic_store_explicit(&pool->queue->shm->awaited, seat, memory_order_relaxed);
        PPI_POINT(CLIENT_AWAITS);
        atomic_thread_fence(memory_order_seq_cst); /* partner: become_ready() in the worker */
        if (!is_ready(pool, seat))
            return false;
    }
    return true;
}

/* Whether the supervisor has made the life word its own, or it came to nothing. */
static bool is_born(void *what)
{
    pp_pool *pool = what;

    return pool->lost || atomic_load(&pool->queue->control->life) != 0;
}

/* Locked.  Why it came to nothing, as errno and in words. */
static int describe_failure(pp_pool *pool, pp_error **error)
{
    bool born = atomic_load(&pool->queue->control->life) != 0;
    pp_error failure = { .size = sizeof failure,
                         .function = born ? "initializer" : "pp_pool_new" };
    char text[PPI_MESSAGE_SIZE];

    if (born || pool->queue->control->failure[0] || pool->start != PP_SPAWN) {
        ppi_describe_failure(pool, &failure, text, sizeof text);
    } else {
        failure.kind = PP_RAISED;
        failure.code = ENOEXEC;
        failure.message = "the fresh image of the program has not become a supervisor: main() "
                          "has to call pp_init() before it does anything else";
    }
    if (error)
        *error = ppi_error_copy(&failure);
    return failure.code ? failure.code : ENOTRECOVERABLE;
}

/* From here on a failing worker is replaced, and its successor wakes nobody. */
static void go(pp_pool *pool)
{
    PPI_POINT(CLIENT_STARTED);
    atomic_store_explicit(&pool->queue->shm->awaited, PPI_MAX_SEATS, memory_order_relaxed);
    atomic_store_explicit(&pool->queue->shm->command, PPI_RUNNING, memory_order_release);
    PPI_POINT(CLIENT_RUNNING);
}

/*
 * Locked.  Waits until this holds.  The life word tells of the supervisor's death once the
 * supervisor has made it its own.  It may be killed before: until then we look ourselves.
 */
static void await(pp_pool *pool, bool (*done)(void *pool))
{
    uint64_t patience = ppi_now_ns() + IMAGE_PATIENCE_NS;

    while (ppi_wait_until(pool, done, pool,
                          is_born(pool) ? PPI_NEVER : ppi_now_ns() + 2 * PPI_MS) != 0) {
        if (pool->start == PP_SPAWN && !is_born(pool) && ppi_now_ns() > patience)
            ppi_pidfd_kill(pool->supervisor);
        if (!ppi_pidfd_dead(pool->supervisor) || is_born(pool))
            continue;
        ppi_reap_supervisor(pool);
        pool->lost = true;
    }
}

/* Makes what runs the tasks; 0 or -errno. */
static int begin(pp_pool *pool)
{
    bool single_threaded = ppi_single_threaded();

    if (ppi_is_isolated(pool))
        flush_output(single_threaded);
    switch (pool->start) {
    case PP_THREADS:
        return begin_thread(pool);
    case PP_INLINE:
        return ppi_begin_inline(pool);
    case PP_SPAWN:
        return ppi_begin_spawn(pool);
    default:
        return fork_supervisor(pool, single_threaded);
    }
}

int ppi_start(pp_pool *pool, const pp_pool_options *options, pp_error **error)
{
    int code = -begin(pool);

    ppi_segment_close_file(&pool->queue->segment);
    if (code) {
        ppi_unmake(pool);
        return code;
    }
    if (ppi_is_isolated(pool)) {
        close(pool->heritage.client);
        code = -ppi_segment_confine_client(&pool->queue->segment);
    } else {
        code = -ppi_segment_keep_from_children(&pool->queue->segment);
    }
    if (!code)
        code = -ppi_loop_open(pool);
    PPI_POINT(CLIENT_CONFINED);
    if (!code && options->on_death)
        code = -ppi_hear_of_deaths(pool);
    pthread_mutex_lock(&pool->lock);
    await(pool, code ? is_born : has_started);
    if (pool->lost)
        code = describe_failure(pool, error);
    else if (!code && pool->start == PP_SPAWN)
        code = -ppi_know_image(pool);
    if (!code)
        go(pool);
    if (!code && options->on_death)
        code = -ppi_tell_deaths_to(pool, options->on_death, options->user);
    pthread_mutex_unlock(&pool->lock);
    if (code)
        pp_pool_free(pool);
    return code;
}
