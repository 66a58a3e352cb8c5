/* SPDX-License-Identifier: MIT */
/* Making a pool. */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/process.h"
#include "base/public.h"
#include "base/random.h"
#include "client/client.h"

/* Address space, not memory: tried from the largest down.  What a machine could ever need. */
#define LARGEST_ARENA ((size_t)1 << 36)
#define SMALLEST_ARENA ((size_t)1 << 20)
#define ALL_OUTBOXES ((size_t)1 << 42)

/* Blocks of shared memory are rounded up to powers of two: in twice of what a machine has
   there is room for all that it can hold. */
#define SHARED_PER_ARENA 2

/* What stays in memory of free argument blocks, also when the pool is idle. */
#define KEPT_ARGUMENTS ((size_t)128 << 20)

/* Finalizers write and close what is theirs; they are no tasks. */
#define USUAL_FINALIZER_NS (10 * PPI_SECOND)

int ppi_check_pool(const pp_pool *pool)
{
    if (!pool)
        return -EINVAL;
    return *pool->creator ? 0 : -ECHILD;
}

int ppi_check_result(const pp_result *result)
{
    return result ? ppi_check_pool(result->pool) : -EINVAL;
}

int ppi_copy_options(void *copy, size_t size, const void *given)
{
    size_t given_size;

    memset(copy, 0, size);
    if (!given)
        return 0;
    memcpy(&given_size, given, sizeof given_size);
    if (given_size < sizeof given_size)
        return -EINVAL;
    for (size_t i = size; i < given_size; i++) /* options that this version does not know */
        if (((const char *)given)[i] != 0)
            return -EINVAL;
    memcpy(copy, given, given_size < size ? given_size : size);
    return 0;
}

#define LONGEST_GRACE_MS UINT32_MAX
#define MOST_RETRIES 65535

int ppi_make_limits(double time_limit, double grace, int retries, struct ppi_limits *limits)
{
    if (time_limit == 0 && grace == 0 && retries == 0)
        return 0; /* as is */
    if (isnan(time_limit) || time_limit < 0 || isnan(grace) || grace < 0 || retries < 0 ||
        retries > MOST_RETRIES)
        return -EINVAL;
    limits->time_ns = time_limit == 0 || time_limit > 1e9 ? 0
                      : time_limit < 1e-9                 ? 1
                                                          : (uint64_t)(time_limit * 1e9);
    limits->grace_ms = LONGEST_GRACE_MS;
    if (grace * 1e3 < LONGEST_GRACE_MS)
        limits->grace_ms = (uint32_t)(grace * 1e3);
    if (limits->grace_ms < grace * 1e3 && limits->grace_ms < LONGEST_GRACE_MS)
        limits->grace_ms++; /* rounded up: a little grace is not none */
    limits->retries = (uint16_t)retries;
    return 0;
}

void ppi_poke(pp_pool *pool)
{
    ppi_waker_signal(&pool->queue->poke);
}

/* ---- Sizes ---- */

#if defined(__SANITIZE_THREAD__)
#define SHADOWED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHADOWED 1
#endif
#endif

/* The address space for arguments: the memory of the machine, up to a power of two. */
static size_t wanted_arena(void)
{
#ifdef SHADOWED
    return (size_t)1 << 28; /* the sanitizer keeps shadows of all that is mapped */
#else
    size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    size_t size = SMALLEST_ARENA;

    while (size < memory && size < LARGEST_ARENA)
        size *= 2;
    return size;
#endif
}

/* The one of shared memory keeps all: pp_shared_free() itself gives pages back. */
static int make_allocators(pp_pool *pool)
{
    const struct ppi_queue *queue = pool->queue;
    int error =
        ppi_buddy_init(&pool->arena, queue->arena, queue->arena_size, KEPT_ARGUMENTS);

    if (error)
        return error;
    error = ppi_buddy_init(&pool->shared, queue->shared, queue->shared_size, SIZE_MAX);
    if (error)
        ppi_buddy_destroy(&pool->arena);
    return error;
}

/* Makes the segment as large as the limits of this process allow. */
static int make_queue(pp_pool *pool, unsigned seats)
{
    size_t arena = wanted_arena(), outbox = arena;
    int error;

    while (seats * outbox > ALL_OUTBOXES)
        outbox /= 2;
    for (;; arena /= 2, outbox = outbox > SMALLEST_ARENA ? outbox / 2 : outbox) {
        error = ppi_queue_create(pool->queue, seats, arena, outbox, SHARED_PER_ARENA * arena);
        if (!error) {
            error = make_allocators(pool);
            if (!error)
                return 0;
            ppi_queue_destroy(pool->queue);
        }
        if (error != -ENOMEM || arena <= SMALLEST_ARENA)
            return error;
    }
}

/* ---- Resources, in the order in which they are acquired ---- */

struct ppi_flight *ppi_flights_new(void)
{
    void *flights = mmap(NULL, PPI_WINDOW * sizeof(struct ppi_flight), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return flights == MAP_FAILED ? NULL : flights;
}

void ppi_flights_free(struct ppi_flight *flights)
{
    if (flights)
        munmap(flights, PPI_WINDOW * sizeof *flights);
}

static int make_creator_mark(pp_pool *pool)
{
    void *page = mmap(NULL, PPI_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return -ENOMEM;
    pool->creator = page;
    /* Reads as zero in children: telling them apart costs no system call. */
    if (madvise(page, PPI_PAGE, MADV_WIPEONFORK) < 0)
        return errno == EINVAL ? -ENOSYS : -errno; /* before Linux 4.14 */
    *pool->creator = 1;
    return 0;
}

static int make_descriptors(pp_pool *pool)
{
    int error;

    if (ppi_is_isolated(pool)) {
        pool->heritage.client = ppi_pidfd_open(getpid());
        if (pool->heritage.client < 0)
            return pool->heritage.client;
    }
    error = ppi_waker_open(&pool->queue->poke);
    pool->heritage.poke = pool->queue->poke.reader;
    if (!error && pool->mode == PP_CALLBACKS_POLL)
        error = ppi_waker_open(&pool->queue->event);
    return error;
}

void ppi_unmake(pp_pool *pool)
{
    if (pool->heritage.client >= 0)
        close(pool->heritage.client);
    ppi_waker_close(&pool->queue->poke);
    ppi_loop_close(pool);
    ppi_buddy_destroy(&pool->arena);
    ppi_buddy_destroy(&pool->shared);
    ppi_queue_destroy(pool->queue);
    ppi_objects_destroy(pool->objects);
    ppi_forget_crashes(&pool->crashes);
    ppi_flights_free(pool->flights);
    if (pool->creator)
        munmap(pool->creator, PPI_PAGE);
    pthread_cond_destroy(&pool->progress);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* A fork of a program with several threads may copy a lock that nobody in the child holds. */
static pp_start choose_start(const pp_pool_options *options)
{
    if (options->start != PP_START_AUTO)
        return options->start;
    return ppi_is_initialized() && (!options->initarg || options->initarg_size > 0) &&
                   !ppi_single_threaded()
               ? PP_SPAWN
               : PP_FORK;
}

static uint64_t finalizer_ns(double limit)
{
    return limit == 0     ? USUAL_FINALIZER_NS
           : limit > 1e9  ? PPI_NEVER
           : limit < 1e-9 ? 1
                          : (uint64_t)(limit * 1e9);
}

static pp_pool *allocate(const pp_pool_options *options, unsigned cpus)
{
    pp_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->progress, NULL);
    pthread_cond_init(&pool->work, NULL);
    ppi_init_results(pool);
    pool->queue = &pool->heritage.queue;
    pool->mode = options->callbacks;
    pool->start = choose_start(options);
    pool->queue->segment.portable = pool->start == PP_SPAWN;
    pool->initarg_size = options->initarg_size;
    pool->supervisor = -1;
    pool->queue->cpus = cpus;
    if (options->spin == PP_SPIN_ADAPTIVE && pool->queue->cpus > 1)
        pool->queue->spin_ns = PPI_SPIN_NS;
    pool->heritage.initializer = options->initializer;
    pool->heritage.initarg = options->initarg;
    pool->heritage.finalizer = options->finalizer;
    pool->heritage.finalizer_ns = finalizer_ns(options->finalizer_limit);
    pool->heritage.seed = ppi_random();
    pool->made_ns = ppi_now_ns();
    pool->heritage.max_items = (uint64_t)options->max_tasks_per_child;
    pool->heritage.libc_words = ppi_libc_words();
    pool->heritage.client = pool->heritage.poke = -1;
    pool->queue->poke = pool->queue->event = PPI_NO_WAKER;
    ppi_loop_init(pool);
    return pool;
}

static int make(pp_pool *pool, const pp_pool_options *options, const struct ppi_size *size)
{
    int error = make_creator_mark(pool);

    pool->flights = ppi_flights_new();
    if (!pool->flights)
        error = -ENOMEM;
    if (!error)
        error = ppi_objects_create(&pool->objects);
    if (!error)
        error = make_descriptors(pool);
    if (!error)
        error = make_queue(pool, size->seats);
    if (!error)
        error = ppi_say_pins(pool->queue, options);
    if (error)
        return error;
    pool->most = size->most;
    ppi_set_size(pool, size->workers);
    return 0;
}

/* 0, or an errno and why in words. */
static int check_options(const pp_pool_options *options, char *why, size_t size)
{
    if (options->max_tasks_per_child < 0)
        snprintf(why, size, "max_tasks_per_child is %ld: it must not be negative",
                 options->max_tasks_per_child);
    else if (options->callbacks > PP_CALLBACKS_POLL)
        snprintf(why, size, "callbacks is %u: it must be one of PP_CALLBACKS_...",
                 (unsigned)options->callbacks);
    else if (options->start > PP_INLINE)
        snprintf(why, size, "start is %u: it must be one of PP_START_AUTO, PP_FORK, PP_SPAWN, "
                 "PP_THREADS, PP_INLINE",
                 (unsigned)options->start);
    else if (options->start == PP_SPAWN && !ppi_is_initialized())
        snprintf(why, size, "start is PP_SPAWN: main() must call pp_init() before anything "
                 "else, in a program that is not set-user-ID");
    else if (options->start == PP_SPAWN && options->initarg && options->initarg_size == 0)
        snprintf(why, size, "start is PP_SPAWN: initarg needs an initarg_size to be copied");
    else if (options->initarg_size > 0 && !options->initarg)
        snprintf(why, size, "initarg_size is %zu, but there is no initarg",
                 options->initarg_size);
    else if (options->spin > PP_SPIN_NEVER)
        snprintf(why, size, "spin is %u: it must be one of PP_SPIN_...",
                 (unsigned)options->spin);
    else if (isnan(options->finalizer_limit) || options->finalizer_limit < 0)
        snprintf(why, size, "finalizer_limit is %g: it must be seconds, or 0 for %g",
                 options->finalizer_limit, (double)USUAL_FINALIZER_NS / 1e9);
    return *why ? EINVAL : ppi_check_size(options, why, size);
}

/* Makes a pool that has no process yet; NULL and *code. */
static pp_pool *prepare(const pp_pool_options *options, int *code)
{
    unsigned cpus = ppi_usable_cpus();
    struct ppi_size size = ppi_size_of(options, cpus);
    pp_pool *pool = allocate(options, cpus);

    *code = pool ? -make(pool, options, &size) : ENOMEM;
    if (!*code)
        return pool;
    if (pool)
        ppi_unmake(pool);
    return NULL;
}

PPI_PUBLIC pp_pool *pp_pool_new_with(const pp_pool_options *given)
{
    pp_pool_options options;
    pp_error failure = { .size = sizeof failure, .kind = PP_RAISED, .function = "pp_pool_new" };
    pp_error *error = NULL;
    char why[192] = "";
    pp_pool *pool = NULL;
    int code = -ppi_copy_options(&options, sizeof options, given);

    if (!code)
        code = check_options(&options, why, sizeof why);
    if (!code && (pool = prepare(&options, &code)))
        code = ppi_start(pool, &options, options.error ? &error : NULL);
    if (!code)
        return pool;
    failure.code = code;
    failure.message = *why ? why : strerrordesc_np(code);
    if (options.error)
        *options.error = error ? error : ppi_error_copy(&failure);
    errno = code;
    return NULL;
}
