/* SPDX-License-Identifier: MIT */
/*
 * Idle costs nothing: while nothing is to be done no process of a pool runs, nor any
 * thread of its client's.
 *
 * Somebody else, who was there before the pool, counts the context switches of all their
 * threads, voluntary and not: who never runs has none of either kind.  He waits until they
 * are still for a moment, since those that have just worked have yet to fall asleep; from
 * then on a single switch is one too many.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { WORKERS = 64, MOST = 4 * WORKERS };

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static void stay(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    for (;;)
        pause();
}
PP_TASK(void, stay, struct gate *, gate);

static void crash(void)
{
    raise(SIGKILL);
}
PP_TASK(void, crash);

/* ---- Who counts ----------------------------------------------------------------- */

struct counter {
    atomic_int go;
    size_t count;
    pid_t processes[MOST];
    unsigned long threads;
    unsigned long switches;
    bool settled;
};

/* Adds those of a thread. */
static void add_switches(const char *path, unsigned long *switches)
{
    FILE *file = fopen(path, "re");
    char line[256];
    unsigned long number;

    if (!file)
        return; /* it has ended */
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &number) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %lu", &number) == 1)
            *switches += number;
    fclose(file);
}

static unsigned long switches_of_all(struct counter *counter)
{
    unsigned long switches = 0;

    counter->threads = 0;
    for (size_t i = 0; i < counter->count; i++) {
        char path[300];
        DIR *dir;

        snprintf(path, sizeof path, "/proc/%d/task", counter->processes[i]);
        dir = opendir(path);
        for (struct dirent *entry; dir && (entry = readdir(dir));) {
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "/proc/%d/task/%.20s/status", counter->processes[i],
                     entry->d_name);
            add_switches(path, &switches);
            counter->threads++;
        }
        if (dir)
            closedir(dir);
    }
    return switches;
}

/* Whether they come to rest at all. */
static bool settle(struct counter *counter)
{
    double end = harness_now() + 10 * harness_time_factor();
    unsigned long before = switches_of_all(counter), after;

    while (harness_now() < end) {
        sleep_for(250 * 1000);
        after = switches_of_all(counter);
        if (after == before)
            return true;
        before = after;
    }
    return false;
}

static _Noreturn void count(struct counter *counter, int done, double seconds)
{
    unsigned long before;

    while (!atomic_load(&counter->go))
        sleep_for(1000);
    counter->settled = settle(counter);
    before = switches_of_all(counter);
    sleep_for((long)(seconds * 1e6));
    counter->switches = switches_of_all(counter) - before;
    _exit(write(done, "", 1) != 1);
}

struct watch {
    struct counter *counter;
    double seconds;
    int done; /* to be read from */
    pid_t pid;
};

static struct watch watch_new(void)
{
    struct watch watch = { shared_new(sizeof *watch.counter), rounds(2, 10), -1, 0 };
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    watch.pid = fork();
    if (watch.pid == 0)
        count(watch.counter, fds[1], watch.seconds);
    close(fds[1]);
    watch.done = fds[0];
    return watch;
}

/* Has all processes watched, the test's own as well, which does nothing meanwhile. */
static void watch_all(struct watch *watch, size_t workers)
{
    struct harness_process list[MOST];
    struct counter *counter = watch->counter;
    size_t count = harness_others(list, MOST);
    char byte;

    CHECK_EQ(count, workers + 2);
    counter->processes[counter->count++] = getpid();
    for (size_t i = 0; i < count; i++)
        if (list[i].pid != watch->pid)
            counter->processes[counter->count++] = list[i].pid;
    atomic_store(&counter->go, 1);
    CHECK_EQ(read(watch->done, &byte, 1), 1);
    printf("%lu context switches of %lu threads in %zu processes in %g s\n", counter->switches,
           counter->threads, counter->count, watch->seconds);
    CHECK(counter->settled);
    CHECK(counter->threads >= counter->count);
    CHECK_EQ(counter->switches, 0);
}

static void watch_free(struct watch *watch)
{
    int status;

    close(watch->done);
    CHECK_EQ(waitpid(watch->pid, &status, 0), watch->pid);
    CHECK_EQ(status, 0);
    shared_free(watch->counter, sizeof *watch->counter);
}

/* ---- What is watched -------------------------------------------------------------- */

static void add_one(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add((atomic_int *)user, 1);
}

/* Of everything a little. */
static void work(pp_pool *pool, struct gate *gate)
{
    enum { CALLS = 300, ITEMS = 10000 };
    long *items = calloc(ITEMS, sizeof *items);
    atomic_int calls = 0;
    pp_result *last = NULL;
    int ends;

    CHECK_EQ(pp_map(pool, square, items, ITEMS, NULL), 0);
    CHECK_EQ(pp_map(pool, square, items, ITEMS, NULL, .chunksize = 1), 0);
    for (int i = 0; i < CALLS; i++)
        last = pp_apply_async(pool, PP_CALL(square, i), .callback = add_one, .user = &calls);
    CHECK_EQ(pp_wait(last), 0);
    CHECK_SOON(pp_poll(pool) == -EINVAL || atomic_load(&calls) == CALLS);
    CHECK_SOON(atomic_load(&calls) == CALLS);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), NULL, .time_limit = 1000), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(stay, gate), NULL, .time_limit = 0.05), PP_ETIMELIMIT);
    CHECK_EQ(pp_apply(pool, PP_CALL(stay, gate), NULL, .time_limit = 0.05, .grace = 1000),
             PP_ETIMELIMIT);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash), NULL, .retries = 2), PP_ECRASHED);
    ends = atomic_load(&gate->waiting);
    last = pp_apply_async(pool, PP_CALL(stay, gate), .grace = 1000);
    CHECK_SOON(atomic_load(&gate->waiting) == ends + 1);
    CHECK_EQ(pp_cancel(last), 0);
    CHECK_EQ(pp_get(last, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), NULL), 0);
    free(items);
}

static void check_idle(pp_callbacks mode, bool works)
{
    struct watch watch = watch_new();
    struct gate *gate = gate_new();
    struct harness_process list[MOST];
    pp_pool *pool = pp_pool_new(.processes = WORKERS, .callbacks = mode);

    CHECK(pool != NULL);
    if (works)
        work(pool, gate);
    CHECK_SOON(harness_others(list, MOST) == WORKERS + 2);
    watch_all(&watch, WORKERS);
    if (works)
        work(pool, gate); /* nobody sleeps so deep that he is not woken */
    finish(pool);
    gate_free(gate);
    watch_free(&watch);
}

TEST(before_all_work, .timeout = 60)
{
    check_idle(PP_CALLBACKS_THREAD, false);
}

TEST(after_work, .timeout = 60)
{
    check_idle(PP_CALLBACKS_THREAD, true);
}

TEST(after_work_when_polled, .timeout = 60)
{
    check_idle(PP_CALLBACKS_POLL, true);
}

static void count_death(const pp_death *death, void *deaths)
{
    (void)death;
    atomic_fetch_add((atomic_int *)deaths, 1);
}

/* Somebody waits for deaths all the time, and is not woken by anything else. */
TEST(with_somebody_who_hears_of_deaths, .timeout = 60)
{
    struct watch watch = watch_new();
    struct gate *gate = gate_new();
    atomic_int deaths = 0;
    pp_pool *pool = pp_pool_new(.processes = WORKERS, .on_death = count_death, .user = &deaths);

    CHECK(pool != NULL);
    work(pool, gate);
    CHECK_SOON(atomic_load(&deaths) == 6);
    CHECK_SOON(pp_stats_of(pool).workers == WORKERS);
    watch_all(&watch, WORKERS);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash), NULL), PP_ECRASHED);
    CHECK_SOON(atomic_load(&deaths) == 7);
    finish(pool);
    gate_free(gate);
    watch_free(&watch);
}

/* A limit that is far away costs nothing until then, nor does a task that waits. */
TEST(with_a_limited_task, .timeout = 60)
{
    struct watch watch = watch_new();
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(WORKERS);
    pp_result *limited = pp_apply_async(pool, PP_CALL(stay, gate), .time_limit = 1000);
    pp_result *other = pp_apply_async(pool, PP_CALL(stay, gate));

    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    watch_all(&watch, WORKERS);
    CHECK(!pp_ready(limited) && !pp_ready(other));
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
    watch_free(&watch);
}
