/* SPDX-License-Identifier: MIT */
/* Who workers are, what is their own, what is known of them, how many they are. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>

#include "battery.h"

/* ---- Identity ---- */

struct who {
    int id, incarnation;
    uint64_t seed;
};

static struct who who_am_i(int unused)
{
    (void)unused;
    return (struct who){ pp_worker_id(), pp_worker_incarnation(), pp_random_seed() };
}
PP_TASK(struct who, who_am_i, int, unused);

CASE(workers_know_who_they_are)
{
    pp_pool *pool = new_pool(.processes = 3, .max_tasks_per_child = 4);
    int items[40] = { 0 };
    struct who who[40];

    CHECK_EQ(pp_map(pool, who_am_i, items, 40, who, .chunksize = 1), 0);
    for (int i = 0; i < 40; i++) {
        CHECK(who[i].id >= 0 && who[i].id < 3);
        CHECK(who[i].incarnation >= 1);
        for (int k = 0; k < i; k++)
            CHECK_EQ(who[i].seed == who[k].seed,
                     who[i].id == who[k].id && who[i].incarnation == who[k].incarnation);
    }
    finish(pool);
}

CASE(who_is_no_worker)
{
    uint64_t seed = pp_random_seed();

    CHECK_EQ(pp_worker_id(), -1);
    CHECK_EQ(pp_worker_incarnation(), 0);
    CHECK(pp_random_seed() != seed);
}

/* ---- What is a worker's own ---- */

struct own {
    int count;
    char path[64];
};

static int make_own(void *arg)
{
    struct own *own = malloc(sizeof *own);

    if (!own)
        return ENOMEM;
    *own = *(const struct own *)arg;
    pp_worker_set_local(own);
    return 0;
}

/* Leaves a byte for each item that the worker has run. */
static void free_own(void *local)
{
    struct own *own = local;
    int file = open(own->path, O_WRONLY | O_APPEND | O_CLOEXEC);

    while (file >= 0 && own->count-- > 0)
        if (write(file, "x", 1) != 1)
            break;
    close(file);
    free(own);
}

static int count_own(int unused)
{
    struct own *own = pp_worker_local();

    return ++own->count + 0 * unused;
}
PP_TASK(int, count_own, int, unused);

CASE(finalizers_see_what_is_their_own)
{
    struct own own = { .count = 0 };
    int items[50] = { 0 }, counts[50], file;
    struct stat status;
    pp_pool *pool;

    snprintf(own.path, sizeof own.path, "/tmp/conformance-XXXXXX");
    CHECK((file = mkstemp(own.path)) >= 0);
    pool = new_pool(.processes = 2, .initializer = make_own, INITARG(own),
                    .finalizer = free_own, .max_tasks_per_child = 7);
    CHECK_EQ(pp_map(pool, count_own, items, 50, counts, .chunksize = 1), 0);
    for (int i = 0; i < 50; i++)
        CHECK(counts[i] >= 1 && counts[i] <= (runs_later() ? 7 : 50));
    finish(pool);
    CHECK_EQ(fstat(file, &status), 0);
    CHECK_EQ(status.st_size, 50);
    close(file);
    CHECK_EQ(unlink(own.path), 0);
}

/* ---- What is known ---- */

CASE(stats_count_items)
{
    static const pp_start starts[METHODS] = { PP_FORK, PP_SPAWN, PP_THREADS, PP_INLINE };
    pp_pool *pool = new_pool(.processes = 2);
    pp_stats stats = pp_stats_of(pool);
    pp_worker_stats workers[8];
    long items[100], values[100];
    size_t count, done = 0;

    CHECK_EQ(stats.start, starts[method]);
    CHECK_EQ(stats.processes, runs_later() ? 2 : 1);
    CHECK_EQ(stats.workers, stats.processes);
    CHECK_EQ(stats.done, 0);
    for (long i = 0; i < 100; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, square, items, 100, values), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(raise_code, 3), NULL), PP_ERAISED);
    stats = pp_stats_of(pool);
    CHECK_EQ(stats.done, 101);
    CHECK_EQ(stats.failed, 1);
    CHECK_EQ(stats.queued + stats.running, 0);
    CHECK_EQ(stats.deaths, 0);
    count = pp_worker_stats_of(pool, workers, 8);
    CHECK_EQ(count, stats.workers);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(workers[i].id, i);
        CHECK(workers[i].pid > 0);
    }
    CHECK_SOON((count = pp_worker_stats_of(pool, workers, 8),
                done = workers[0].items + (count > 1 ? workers[1].items : 0), done == 101));
    finish(pool);
}

/* ---- How many ---- */

CASE(resize_while_running)
{
    pp_pool *pool = new_pool(.processes = 1);
    long items[2000], values[2000];
    pp_result *result;

    for (long i = 0; i < 2000; i++)
        items[i] = i;
    result = pp_map_async(pool, square, items, 2000, .chunksize = 1);
    for (int size = 1; size <= 6; size++)
        CHECK_EQ(pp_pool_resize(pool, size), 0);
    CHECK_SOON(pp_stats_of(pool).workers == 6);
    CHECK_EQ(pp_pool_resize(pool, 2), 0);
    CHECK_SOON(pp_stats_of(pool).workers == 2);
    CHECK_EQ(pp_get(result, values), 0);
    for (long i = 0; i < 2000; i++)
        CHECK_EQ(values[i], i * i);
    CHECK_EQ(pp_stats_of(pool).deaths, 0);
    finish(pool);
}

CASE(resize_refused)
{
    pp_pool *pool = new_pool(.processes = 2, .max_processes = 4);
    int refused = runs_later() ? -ERANGE : -ENOTSUP;

    CHECK_EQ(pp_pool_resize(pool, 0), -EINVAL);
    CHECK_EQ(pp_pool_resize(pool, -1), -EINVAL);
    CHECK_EQ(pp_pool_resize(NULL, 1), -EINVAL);
    CHECK_EQ(pp_pool_resize(pool, 5), refused);
    check_works(pool);
    finish(pool);
}

/* ---- Where it crashed ---- */

static __attribute__((noinline)) void store_at(volatile int *place)
{
    *place = 1;
}

static int store(volatile int *place)
{
    store_at(place);
    return *place;
}
PP_TASK(int, store, volatile int *, place);

CASE(crash_tells_where)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_error *error = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(store, NULL), NULL, .error = &error), PP_ECRASHED);
    CHECK_EQ(error->signal, SIGSEGV);
    CHECK(error->address == NULL);
    CHECK(error->backtrace != NULL);
    CHECK_HAS(error->message, "SIGSEGV at address 0x0");
    if (strstr(error->backtrace, "store")) { /* without libdw there are numbers alone */
        CHECK_HAS(error->message, "in store_at()");
        CHECK_HAS(error->backtrace, "#1 store ");
    }
    free(error);
    check_works(pool);
    finish(pool);
}
