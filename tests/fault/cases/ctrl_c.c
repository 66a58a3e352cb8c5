/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standard.h"

enum { WORKERS = 4, ITEMS = 40 };

static atomic_bool interrupted;

static void note(int signal)
{
    (void)signal;
    atomic_store(&interrupted, true);
}

static void nap(atomic_int *running)
{
    atomic_fetch_add(running, 1);
    sleep_for(100000000);
}
PP_TASK(void, nap, atomic_int *, running);

static pp_result *start_map(pp_pool *pool, atomic_int *running)
{
    atomic_int *items[ITEMS];

    for (int i = 0; i < ITEMS; i++)
        items[i] = running;
    return pp_map_async(pool, nap, items, ITEMS);
}

/* A program that does nothing about it ends, and all of its pool with it. */
static void without_handler(atomic_int *running)
{
    pid_t pid = fork();
    double begun;
    int status;

    CHECK(pid >= 0);
    if (pid == 0) {
        setpgid(0, 0);
        signal(SIGINT, SIG_DFL); /* who runs the tests in the background may ignore it */
        pp_get(start_map(pool_of(WORKERS), running), NULL);
        _exit(0);
    }
    CHECK_SOON(atomic_load(running) == WORKERS);
    begun = harness_now();
    CHECK_EQ(kill(-pid, SIGINT), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    while (waitpid(-1, NULL, __WALL) > 0)
        ;
    saw("without a handler: ended, all gone after %.1f ms", (harness_now() - begun) * 1e3);
}

/* One that has a handler goes on, as do its workers, until it says otherwise. */
static void with_handler(atomic_int *running)
{
    pp_pool *pool = pool_of(WORKERS);
    pp_result *map = start_map(pool, running);

    signal(SIGINT, note);
    CHECK_SOON(atomic_load(running) == WORKERS);
    fault_now();
    CHECK_EQ(kill(0, SIGINT), 0);
    CHECK(atomic_load(&interrupted));
    CHECK(getsid(worker_pid(pool, 0)) != getsid(0));
    CHECK_EQ(kill(worker_pid(pool, 0), SIGINT), 0); /* sent to it alone: it does not care */
    CHECK_EQ(pp_wait(map, .timeout = 0.1), -ETIMEDOUT);
    CHECK_EQ(pp_stats_of(pool).deaths, 0);
    CHECK_EQ(pp_cancel(map), 0);
    CHECK_EQ(get(map, NULL), PP_ECANCELLED);
    answered_now();
    CHECK_EQ(pp_failures(map), ITEMS);
    for (size_t i = 0; i < ITEMS; i++)
        CHECK_EQ(pp_failure(map, i)->kind, PP_CANCELLED);
    saw("with one: pp_cancel(), PP_ECANCELLED for all");
    check_bystanders(pool);
    saw("20 of 20 others right");
    end_pool(pool);
}

CASE(ctrl_c, .python = "c16_ctrl_c", .title = "Ctrl-C in a map",
     .must = "the client alone gets it: it ends and all with it, or it cancels and goes on")
{
    atomic_int *running = shared_new(sizeof *running);

    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    without_handler(running);
    atomic_store(running, 0);
    with_handler(running);
    shared_free(running, sizeof *running);
}
