/* SPDX-License-Identifier: MIT */
/*
 * The client is killed, or the supervisor, at any moment: when the pool is made and
 * when it works, with workers that do what they can to stay.
 *
 * The test is a subreaper: what is left of a pool becomes its child.
 */
#include <procpool.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "stubborn.h"
#include "support.h"
#include "trials.h"

enum { WORKERS = 5, GONE_WITHIN_S = 1, START_US = 4000, LATER_US = 20000 };

/* ---- Tasks ----------------------------------------------------------------------- */

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

/* Leaves a process in a session of its own behind, and runs on. */
static int leave_daemon(atomic_int *running)
{
    if (fork() == 0) {
        setsid();
        for (;;)
            pause();
    }
    spin(running);
}
PP_TASK(int, leave_daemon, atomic_int *, running);

/* ---- Deaths ------------------------------------------------------------------------ */

/* Reaps what there is; whether nothing is left, not even what others have left. */
static bool all_gone(void)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
        ;
    return pid < 0 && errno == ECHILD;
}

static void check_all_gone(void)
{
    CHECK_WITHIN(GONE_WITHIN_S, all_gone());
}

/* The first child of a process, which the supervisor is; 0 while there is none. */
static pid_t child_of(pid_t parent)
{
    char path[64];
    FILE *file;
    int pid = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    file = fopen(path, "re");
    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

/* ---- Of the client --------------------------------------------------------------------- */

_Noreturn static void be_client(atomic_int *running)
{
    pp_pool *pool = pool_of(WORKERS);

    pp_apply_async(pool, PP_CALL(be_busy, running));
    pp_apply_async(pool, PP_CALL(be_deaf, running));
    pp_apply_async(pool, PP_CALL(be_stopped, running));
    pp_apply_async(pool, PP_CALL(leave_daemon, running));
    for (;;)
        pp_apply(pool, PP_CALL(square, 3), NULL); /* the fifth is now idle, now not */
}

static pid_t start_client(atomic_int *running)
{
    pid_t pid;

    atomic_store(running, 0);
    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        be_client(running);
    return pid;
}

static void kill_clients(unsigned times, int running_before, unsigned long most_us)
{
    atomic_int *running = shared_new(sizeof *running);
    unsigned long seed = choose_seed();
    double longest = 0;

    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (unsigned i = 0; i < times; i++) {
        pid_t client = start_client(running);
        double killed;

        CHECK_SOON(atomic_load(running) >= running_before);
        pass_time(next_random(&seed) % most_us);
        CHECK_EQ(kill(client, SIGKILL), 0);
        killed = harness_now();
        check_all_gone();
        if (harness_now() - killed > longest)
            longest = harness_now() - killed;
    }
    printf("%u clients killed, all gone after at most %.1f ms\n", times, longest * 1e3);
    shared_free(running, sizeof *running);
}

TEST(client_as_it_starts, .timeout = 600)
{
    kill_clients(trials(50, 1000), 0, START_US);
}

TEST(client_at_work, .timeout = 600)
{
    kill_clients(trials(50, 1000), 4, LATER_US);
}

/* ---- Of the supervisor ------------------------------------------------------------------ */

/* Makes a pool and uses it until it breaks, whenever that is. */
_Noreturn static void outlive_supervisor(void)
{
    pp_pool *pool = pp_pool_new(.processes = WORKERS);
    int error = 0;

    if (!pool) {
        CHECK_EQ(errno, ENOTRECOVERABLE);
        _exit(0);
    }
    while (error == 0) {
        long value = 0;

        error = pp_apply(pool, PP_CALL(square, 12), &value);
        CHECK_EQ(value, error ? 0 : 144);
    }
    if (error != PP_ECRASHED)
        CHECK_EQ(error, -ENOTRECOVERABLE);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 12), NULL), -ENOTRECOVERABLE);
    CHECK_EQ(pp_pool_free(pool), 0);
    _exit(0);
}

static bool has_ended(pid_t pid)
{
    int status;
    pid_t got = waitpid(pid, &status, WNOHANG);

    if (got == pid)
        CHECK_EQ(status, 0);
    return got == pid;
}

TEST(supervisor_as_it_starts, .timeout = 600)
{
    unsigned times = trials(100, 2000);
    unsigned long seed = choose_seed();

    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (unsigned i = 0; i < times; i++) {
        pid_t client, supervisor;

        fflush(NULL);
        client = fork();
        if (client == 0)
            outlive_supervisor();
        while ((supervisor = child_of(client)) == 0)
            ;
        if (i % 2 == 1) /* half of them at once */
            pass_time(next_random(&seed) % START_US);
        CHECK_EQ(kill(supervisor, SIGKILL), 0);
        CHECK_SOON(has_ended(client));
        check_all_gone();
    }
}

/* Kills it from here, or from a process of its own while this one waits for a result. */
static void kill_after(pid_t victim, unsigned long microseconds, bool meanwhile)
{
    pid_t killer = meanwhile ? fork() : 0;

    CHECK(killer >= 0);
    if (killer > 0)
        return;
    pass_time(microseconds);
    CHECK_EQ(kill(victim, SIGKILL), 0);
    if (meanwhile)
        _exit(0);
}

/* A pool with open results of all kinds. */
struct busy_pool {
    pp_pool *pool;
    pp_result *done, *open[4], *queued[20], *map;
};

static struct busy_pool busy_pool(atomic_int *running, const long *items, size_t count)
{
    struct busy_pool busy = { .pool = pool_of(WORKERS) };

    atomic_store(running, 0);
    busy.done = pp_apply_async(busy.pool, PP_CALL(square, 7));
    CHECK_EQ(pp_wait(busy.done), 0);
    busy.open[0] = pp_apply_async(busy.pool, PP_CALL(be_busy, running));
    busy.open[1] = pp_apply_async(busy.pool, PP_CALL(be_deaf, running));
    busy.open[2] = pp_apply_async(busy.pool, PP_CALL(be_stopped, running));
    busy.open[3] = pp_apply_async(busy.pool, PP_CALL(be_stopped, running));
    CHECK_SOON(atomic_load(running) == 4);
    busy.map = pp_map_async(busy.pool, square, items, count, .chunksize = 100);
    for (int i = 0; i < 20; i++)
        busy.queued[i] = pp_apply_async(busy.pool, PP_CALL(be_deaf, running));
    return busy;
}

/* All that was open ends, what was committed before is there, and no more is taken. */
static void check_broken(struct busy_pool *busy, const long *items, size_t count)
{
    long *out = calloc(count, sizeof *out), value = 0;
    double begun = harness_now();
    size_t failures;

    for (int i = 0; i < 4; i++)
        CHECK_EQ(pp_get(busy->open[i], NULL, .timeout = 5), PP_ECRASHED);
    CHECK(harness_now() - begun < GONE_WITHIN_S * harness_time_factor());
    for (int i = 0; i < 20; i++)
        CHECK_EQ(pp_get(busy->queued[i], NULL, .timeout = 5), PP_ECRASHED);
    CHECK_EQ(pp_get(busy->done, &value), 0);
    CHECK_EQ(value, 49);
    value = pp_get(busy->map, out, .timeout = 5);
    failures = pp_failures(busy->map);
    CHECK_EQ(value, failures ? PP_ECRASHED : 0);
    for (size_t i = 0, failure = 0; i < count; i++) {
        bool failed = failure < failures && pp_failure(busy->map, failure)->index == i;

        failure += failed;
        CHECK_EQ(out[i], failed ? 0 : items[i] * items[i]);
    }
    CHECK_EQ(pp_apply(busy->pool, PP_CALL(square, 1), NULL), -ENOTRECOVERABLE);
    CHECK_NULL(pp_apply_async(busy->pool, PP_CALL(square, 1)), ENOTRECOVERABLE);
    free(out);
}

TEST(supervisor_at_work, .timeout = 600)
{
    enum { ITEMS = 20000 };
    static long items[ITEMS];
    atomic_int *running = shared_new(sizeof *running);
    unsigned times = trials(50, 1000);
    unsigned long seed = choose_seed();

    for (long i = 0; i < ITEMS; i++)
        items[i] = i + 1;
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (unsigned i = 0; i < times; i++) {
        struct busy_pool busy = busy_pool(running, items, ITEMS);

        kill_after(child_of(getpid()), next_random(&seed) % START_US, i % 2);
        check_broken(&busy, items, ITEMS);
        CHECK_EQ(pp_pool_free(busy.pool), 0);
        check_all_gone();
    }
    shared_free(running, sizeof *running);
}
