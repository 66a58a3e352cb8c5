/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standard.h"

enum { WORKERS = 4 };

static void spin(atomic_int *running)
{
    atomic_fetch_add(running, 1);
    for (volatile bool forever = true; forever;)
        ;
}
PP_TASK(void, spin, atomic_int *, running);

_Noreturn static void be_client(bool busy, atomic_int *running)
{
    pp_pool *pool = pool_of(WORKERS);

    check_bystanders(pool);
    for (int i = 0; busy && i < WORKERS; i++)
        pp_apply_async(pool, PP_CALL(spin, running));
    if (!busy)
        atomic_store(running, WORKERS);
    for (;;)
        pause();
}

/* Seconds until the last of its processes, who are ours then, is gone. */
static double kill_client(bool busy, atomic_int *running)
{
    pid_t pid = fork();
    double begun;

    CHECK(pid >= 0);
    if (pid == 0)
        be_client(busy, running);
    CHECK_SOON(atomic_load(running) == WORKERS);
    begun = harness_now();
    CHECK_EQ(kill(pid, SIGKILL), 0);
    while (waitpid(-1, NULL, __WALL) > 0)
        ;
    CHECK_EQ(errno, ECHILD);
    return harness_now() - begun;
}

CASE(client_killed, .python = "c15_parent_sigkill",
     .title = "SIGKILL of the client, with idle and with busy workers",
     .must = "none of its processes is left")
{
    atomic_int *running = shared_new(sizeof *running);
    double idle, busy;

    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    idle = kill_client(false, running);
    atomic_store(running, 0);
    busy = kill_client(true, running);
    CHECK_EQ(processes(), 0);
    saw("0 of %d idle workers after %.1f ms", WORKERS, idle * 1e3);
    saw("0 of %d busy ones after %.1f ms", WORKERS, busy * 1e3);
    ended_in(idle > busy ? idle : busy);
    shared_free(running, sizeof *running);
}
