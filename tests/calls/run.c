/* SPDX-License-Identifier: MIT */
/*
 * One run: a keeper, which adopts what is left behind and has the patience, and the client,
 * which plays the scenario and then looks whether it is as before.
 */
#include "run.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

/* A pool that cannot fork gives up after 5 s, an image that says nothing after 20. */
#define PATIENCE_S 25.0

/* ---- The client ---- */

struct signals {
    sigset_t mask;
    struct sigaction actions[NSIG];
};

static void on_signal(int number)
{
    (void)number;
}

static void take_signals(struct signals *signals)
{
    memset(signals, 0, sizeof *signals);
    pthread_sigmask(SIG_SETMASK, NULL, &signals->mask);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, NULL, &signals->actions[number]);
}

static bool same_signals(const struct signals *before)
{
    struct signals now;

    take_signals(&now);
    for (int number = 1; number < NSIG; number++)
        if (now.actions[number].sa_handler != before->actions[number].sa_handler ||
            now.actions[number].sa_flags != before->actions[number].sa_flags ||
            sigismember(&now.mask, number) != sigismember(&before->mask, number))
            return false;
    return true;
}

/* Something that pools might change. */
static void set_signals(void)
{
    sigset_t some;

    signal(SIGUSR1, on_signal);
    signal(SIGCHLD, on_signal);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    sigprocmask(SIG_SETMASK, &some, NULL);
}

static void *nothing(void *unused)
{
    return unused;
}

/* So that the library has to find out whether there are others. */
static void have_had_a_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, nothing, NULL) == 0)
        pthread_join(thread, NULL);
}

static void check_holdings(const struct harness_holdings *before)
{
    double end = harness_now() + harness_time_factor();
    char why[WHY];

    if (memory_left(why, sizeof why))
        violate("%s", why);
    while (*why = '\0', harness_compare(before, why, sizeof why)) {
        if (harness_now() > end)
            violate("%s", why);
        harness_nap();
    }
    if (waitpid(-1, NULL, WNOHANG | __WALL) != -1 || errno != ECHILD)
        violate("the client has children still");
}

static _Noreturn void be_client(const struct run *run)
{
    struct play play = { run->start, run->order.lasting };
    static struct signals signals;
    struct harness_holdings *before;

    engine = run->engine;
    engine_announce(engine);
    engine->client = getpid();
    have_had_a_thread();
    set_signals();
    take_signals(&signals);
    before = harness_take_stock();
    atomic_store(&engine->slow_forks, run->scenario->slow_forks);
    atomic_store(&engine->on, true);
    run->scenario->run(&play);
    atomic_store(&engine->on, false);
    check_holdings(before);
    harness_holdings_free(before);
    if (!same_signals(&signals))
        violate("the client's signals are not as before");
    atomic_store(&engine->complete, true);
    exit(0); /* so that leak checkers have their say */
}

/* ---- The keeper ---- */

enum { MOST_PROCESSES = 256 };

static void blame(struct run *run, const char *why)
{
    if (!atomic_exchange(&run->engine->violated, true))
        snprintf(run->engine->why, WHY, "%s", why);
}

static void describe(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64], *where;

    snprintf(path, sizeof path, "/proc/%d/wchan", pid);
    where = harness_read(path);
    harness_append(text, size, " %s (%s)", name, where ? where : "?");
    free(where);
}

/* Which processes there are, and where in the kernel. */
static size_t list_left(char *text, size_t size)
{
    static struct harness_process list[MOST_PROCESSES];
    size_t count = harness_descendants(getpid(), list, MOST_PROCESSES);

    for (size_t i = 0; i < count && i < 8; i++)
        if (list[i].state != 'Z' || list[i].parent != getpid())
            describe(list[i].pid, list[i].name, text, size);
    return count;
}

static void kill_left(void)
{
    static struct harness_process list[MOST_PROCESSES];
    size_t count;

    while ((count = harness_descendants(getpid(), list, MOST_PROCESSES)) > 0) {
        for (size_t i = 0; i < count && i < MOST_PROCESSES; i++)
            kill(list[i].pid, SIGKILL);
        while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
            ;
        harness_nap();
    }
}

/* What ends asynchronously has a second for it. */
static void check_left(struct run *run)
{
    double end = harness_now() + harness_time_factor();
    char why[WHY] = "processes left:";
    size_t known = strlen(why);

    for (;;) {
        while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
            ;
        if (list_left(why, sizeof why) == 0 || strlen(why) == known)
            return;
        if (harness_now() > end)
            break;
        why[known] = '\0';
        harness_nap();
    }
    blame(run, why);
}

static void check_status(struct run *run, int status)
{
    char why[WHY];

    if (atomic_load(&run->engine->complete) && status == 0)
        return;
    if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "the client was killed by SIG%s",
                 sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(why, sizeof why, "the client exited with status %d", WEXITSTATUS(status));
    blame(run, why);
}

static void keep(struct run *run, pid_t client)
{
    struct pollfd fd = { .fd = (int)syscall(SYS_pidfd_open, client, 0), .events = POLLIN };
    char why[WHY] = "hangs:";
    int status = 0;

    if (poll(&fd, 1, (int)(PATIENCE_S * 1e3 * harness_time_factor())) == 0) {
        list_left(why, sizeof why);
        blame(run, why);
        kill(client, SIGKILL);
    }
    waitpid(client, &status, 0);
    check_status(run, status);
    check_left(run);
    kill_left();
}

static _Noreturn void be_keeper(struct run *run, pid_t walker)
{
    pid_t client;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (getppid() != walker)
        _exit(1);
    client = fork();
    if (client == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_client(run);
    }
    keep(run, client);
    _exit(0);
}

void run_begin(struct run *run)
{
    pid_t walker = getpid();

    engine_clear(run->engine);
    run->engine->order = run->order;
    run->keeper = fork();
    if (run->keeper == 0)
        be_keeper(run, walker);
}

bool run_is_right(const struct run *run, const char **why)
{
    const struct engine *end = run->engine;
    unsigned most = !atomic_load(&end->tripped) ? 0 : run->order.lasting ? ~0u : 1;

    *why = end->why;
    if (atomic_load(&end->violated))
        return false;
    if (atomic_load(&end->exhausted)) {
        *why = "the test's own table of places is too small";
        return false;
    }
    *why = end->first;
    return atomic_load(&end->deviations) <= most;
}
