/* SPDX-License-Identifier: MIT */
/*
 * One run, seen from outside.
 *
 * Whoever is stopped goes on when all others sleep: then they wait for it, or for nothing.
 * That is looked up in /proc, and nobody may have passed a point meanwhile.  Time counts only
 * where a scenario has time limits, and when something hangs.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "inject.h"

enum { MOST_CHILDREN = 64 };

#define LOOK_S 0.0002 /* between two looks at everybody */
#define STOPPED_S 0.1 /* longer than this nobody is, though somebody else wakes now and then */
#define HANG_S 3.0    /* all sleep, nobody is stopped, and nothing has come of it */
#define LONG_S 60.0   /* not even this makes a run take so long */
#define GONE_S 10.0   /* after the client's end */

void prepare_stage(void)
{
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                 0);
    if (stage == MAP_FAILED)
        abort();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void leave_stage(void)
{
    munmap(stage, sizeof *stage);
    stage = NULL;
}

/* ---- Who is there, and what they do ---- */

static size_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, size - 1) : -1;

    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0 ? (size_t)length : 0;
}

static size_t children_of(pid_t pid, pid_t *children)
{
    char path[64], text[4096], *next = text, *end;
    size_t count = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    read_file(path, text, sizeof text);
    for (; count < MOST_CHILDREN; next = end) {
        long child = strtol(next, &end, 10);

        if (end == next)
            break;
        children[count++] = (pid_t)child;
    }
    return count;
}

/* Whether a thread sleeps or is dead. */
static bool thread_sleeps(pid_t pid, const char *thread)
{
    char path[64], text[512];
    const char *name_end;

    snprintf(path, sizeof path, "/proc/%d/task/%.12s/stat", pid, thread);
    read_file(path, text, sizeof text);
    name_end = strrchr(text, ')');
    return !name_end || strchr("SZX", name_end[2]);
}

static bool sleeps(pid_t pid)
{
    char path[64];
    struct dirent *entry;
    bool all = true;
    DIR *threads;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    threads = opendir(path);
    while (threads && all && (entry = readdir(threads)))
        if (isdigit((unsigned char)*entry->d_name))
            all = thread_sleeps(pid, entry->d_name);
    if (threads)
        closedir(threads);
    return all;
}

/* Whether all that descends from a process sleeps. */
static bool all_sleep(pid_t ancestor)
{
    pid_t children[MOST_CHILDREN];
    size_t count = children_of(ancestor, children);

    for (size_t i = 0; i < count; i++)
        if (!sleeps(children[i]) || !all_sleep(children[i]))
            return false;
    return true;
}

/* ---- Waiting ---- */

struct watch {
    const struct scenario *scenario;
    pid_t client;
    double begun;
    double quiet_since; /* 0: they are not */
    double stopped_since; /* 0: nobody is */
    unsigned events;    /* when they were found so */
    struct verdict *verdict;
};

static void wait_for_bell(unsigned seen, double seconds)
{
    struct timespec limit = { 0, (long)(seconds * 1e9) };

    syscall(SYS_futex, &stage->bell, FUTEX_WAIT, seen, &limit, NULL, 0);
}

/* Looks whether all sleep, and since when they did at least. */
static double quiet_for(struct watch *watch)
{
    unsigned events = atomic_load(&stage->events);
    double now = harness_now();

    if (!all_sleep(getpid()) || atomic_load(&stage->events) != events) {
        watch->quiet_since = 0;
        return 0;
    }
    if (watch->quiet_since == 0 || watch->events != events)
        watch->quiet_since = now;
    watch->events = events;
    return now - watch->quiet_since;
}

static bool is_stopped(int which)
{
    return stage->orders[which].action == STOP &&
           atomic_load(&stage->carried[which].pid) != 0 &&
           !atomic_load(&stage->carried[which].released);
}

static bool anybody_is_stopped(void)
{
    return is_stopped(FIRST) || is_stopped(SECOND);
}

static void let_go(int which)
{
    atomic_store(&stage->carried[which].released, 1);
    syscall(SYS_futex, &stage->carried[which].released, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Those that are stopped go on when all others wait. */
static void release_when_quiet(struct watch *watch)
{
    if (watch->stopped_since == 0)
        watch->stopped_since = harness_now();
    if (quiet_for(watch) <= watch->scenario->settle_s &&
        (watch->quiet_since == 0 || harness_now() - watch->stopped_since < STOPPED_S))
        return;
    watch->quiet_since = watch->stopped_since = 0;
    for (int which = FIRST; which < ORDERS; which++)
        if (is_stopped(which)) {
            let_go(which);
            return;
        }
}

/* ---- The verdict ---- */

static void append(char *text, size_t size, const char *more)
{
    size_t length = strlen(text);

    snprintf(text + length, size - length, "%s", more);
}

static void say_where_they_are(char *text, size_t size)
{
    unsigned end = atomic_load(&stage->events), begin = end > 12 ? end - 12 : 0;
    char line[96];

    append(text, size, "; last");
    for (unsigned event = begin; event < end; event++) {
        const struct trace *at = &stage->trace[event % TRACE];

        snprintf(line, sizeof line, " %d:%s", at->pid, point_names[at->point]);
        append(text, size, line);
    }
}

static void complain(struct verdict *verdict, const char *why)
{
    if (verdict->violated)
        return;
    verdict->violated = true;
    snprintf(verdict->why, sizeof verdict->why, "%s", why);
    say_where_they_are(verdict->why, sizeof verdict->why);
}

/* Whether a run that comes to no end is one that hangs. */
static bool hangs(struct watch *watch)
{
    double slow = harness_time_factor();

    return harness_now() - watch->begun > LONG_S * slow ||
           (!anybody_is_stopped() && quiet_for(watch) > HANG_S * slow);
}

static bool was_killed(enum role role)
{
    for (int which = FIRST; which < ORDERS; which++)
        if (stage->orders[which].action == KILL && stage->orders[which].role == role &&
            atomic_load(&stage->carried[which].pid) != 0)
            return true;
    return false;
}

static void judge_client(struct verdict *verdict, int status)
{
    char why[64];

    if (*stage->violation) {
        complain(verdict, stage->violation);
    } else if (WIFSIGNALED(status) && !(WTERMSIG(status) == SIGKILL && was_killed(CLIENT))) {
        snprintf(why, sizeof why, "the client was killed by SIG%s",
                 sigabbrev_np(WTERMSIG(status)));
        complain(verdict, why);
    } else if (WIFEXITED(status) &&
               (WEXITSTATUS(status) != 0 || !atomic_load(&stage->ended))) {
        snprintf(why, sizeof why, "the client exited with %d", WEXITSTATUS(status));
        complain(verdict, why);
    }
}

static bool is_about_to_end(void)
{
    return atomic_load(&stage->ended) || was_killed(CLIENT);
}

/* Waits for the client's end; its wait status, or -1: it hangs. */
static int await_client(struct watch *watch)
{
    int status;

    for (;;) {
        unsigned bell = atomic_load(&stage->bell);

        if (waitpid(watch->client, &status, is_about_to_end() ? 0 : WNOHANG) == watch->client)
            return status;
        if (anybody_is_stopped()) {
            release_when_quiet(watch);
            wait_for_bell(bell, LOOK_S);
        } else {
            wait_for_bell(bell, 0.01);
        }
        if (hangs(watch))
            return -1;
    }
}

static void kill_all(pid_t ancestor)
{
    pid_t children[MOST_CHILDREN];
    size_t count = children_of(ancestor, children);

    for (size_t i = 0; i < count; i++) {
        kill_all(children[i]);
        kill(children[i], SIGKILL);
    }
}

static bool all_gone(void)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
        ;
    return pid < 0 && errno == ECHILD;
}

/* The client has ended: whatever has come of it does, too, whoever is stopped. */
static void await_others(struct watch *watch)
{
    double end = harness_now() + GONE_S * harness_time_factor();

    watch->quiet_since = 0;
    while (!all_gone()) {
        if (anybody_is_stopped()) {
            release_when_quiet(watch);
            end = harness_now() + GONE_S * harness_time_factor();
        } else if (harness_now() > end) {
            complain(watch->verdict, "processes are left");
            break;
        }
        wait_for_bell(atomic_load(&stage->bell), LOOK_S);
    }
    while (!all_gone()) {
        kill_all(getpid());
        wait_for_bell(atomic_load(&stage->bell), LOOK_S);
    }
}

static void set_stage(const struct order orders[ORDERS])
{
    memset(stage, 0, sizeof *stage);
    memcpy(stage->orders, orders, sizeof stage->orders);
    stage->watcher = getpid();
    atomic_store(&stage->carried[FIRST].due, true);
}

struct verdict run(const struct scenario *scenario, const struct order orders[ORDERS])
{
    struct verdict verdict = { .violated = false };
    struct watch watch = { .scenario = scenario, .verdict = &verdict };
    int status;

    set_stage(orders);
    fflush(NULL);
    watch.begun = harness_now();
    watch.client = fork();
    if (watch.client == 0)
        be_client(scenario);
    status = watch.client > 0 ? await_client(&watch) : -1;
    if (status == -1) {
        complain(&verdict, "it hangs");
        kill_all(getpid());
    } else {
        judge_client(&verdict, status);
    }
    await_others(&watch);
    for (int which = FIRST; which < ORDERS; which++)
        verdict.reached[which] = atomic_load(&stage->carried[which].pid) != 0;
    return verdict;
}
