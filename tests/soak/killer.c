/* SPDX-License-Identifier: MIT */
/*
 * Workers are the children of the client's one child.  Each is killed by a pidfd, and only
 * if its parent still is that supervisor: a number that has been given to somebody else
 * meanwhile does no harm.
 *
 * A pool whose workers die before they have done anything gives up (a documented limit): so
 * many, or three in a row.  Of those that have not begun a task, and of spares, which may be
 * called to be workers before the signal is there, only some are killed in a round, and one
 * after the other only if a worker that had begun a task has died between.
 */
#include "killer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scene.h"

struct victim {
    pid_t pid;
    int pidfd;
    enum hit what;
};

/* Of the round that is on. */
static struct {
    uint64_t seed;
    double opened; /* when its pool was seen first */
    double next;   /* when to kill */
    unsigned fresh, spares;
    pid_t unused; /* was killed before it had begun anything; 0 again when it is reaped ... */
    pid_t used;   /* ... and a worker that had was killed after that, and is reaped, too */
    bool waits;   /* for these */
} current;

static bool is_on(int stage)
{
    return stage == CREATING || stage == OPEN;
}

unsigned children_of(pid_t parent, pid_t *list, unsigned most)
{
    char path[64], text[4096], *next, *end;
    unsigned count = 0;
    FILE *file;
    size_t length;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    file = fopen(path, "re");
    if (!file)
        return 0;
    length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    for (next = text; count < most; next = end) {
        pid_t pid = (pid_t)strtol(next, &end, 10);

        if (end == next)
            break;
        list[count++] = pid;
    }
    return count;
}

/* Whether it is alive, runs, and is a child of this one; and its name. */
static bool look(pid_t pid, pid_t parent, char *name, size_t size)
{
    char path[64], text[512], state, *open, *close;
    unsigned flags;
    int ppid;
    FILE *file;
    size_t length;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    open = strchr(text, '(');
    close = strrchr(text, ')');
    if (!open || !close ||
        sscanf(close + 1, " %c %d %*d %*d %*d %*d %u", &state, &ppid, &flags) != 3)
        return false;
    snprintf(name, size, "%.*s", (int)(close - open - 1), open + 1);
    return ppid == parent && state != 'Z' && state != 'X' && !(flags & 0x4 /* PF_EXITING */);
}

static enum hit what_is(pid_t pid, const char *name)
{
    struct mark *mark = mark_of(pid);

    if (strcmp(name, "pp-spare") == 0)
        return HIT_SPARE;
    if (atomic_load(&mark->ran) != pid)
        return HIT_FRESH;
    return atomic_load(&mark->at) == IN_TASK ? HIT_RUNNING : HIT_RETURNED;
}

static bool choose(struct victim *victim, pid_t pid, pid_t supervisor)
{
    char name[32];

    if (atomic_load(&mark_of(pid)->killed) == pid)
        return false; /* a signal is on its way already */
    victim->pid = pid;
    victim->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (victim->pidfd < 0)
        return false;
    if (look(pid, supervisor, name, sizeof name)) {
        victim->what = what_is(pid, name);
        return true;
    }
    close(victim->pidfd);
    return false;
}

/* Whether the round allows it. */
static bool may_die(const struct victim *victim)
{
    const struct fury *fury = &scene->fury;
    unsigned *count;

    if (fury->unbounded)
        return true;
    if (victim->what != HIT_SPARE && victim->what != HIT_FRESH)
        return true;
    count = victim->what == HIT_SPARE ? &current.spares : &current.fresh;
    if (*count >= (victim->what == HIT_SPARE ? fury->spares : fury->fresh) || current.waits)
        return false;
    ++*count;
    current.unused = victim->pid;
    current.waits = true;
    return true;
}

static bool is_among(pid_t pid, const pid_t *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i] == pid)
            return true;
    return false;
}

/* Who is not among the supervisor's children any more has been reaped. */
static void note_reaped(const pid_t *workers, unsigned count)
{
    if (current.unused && !is_among(current.unused, workers, count))
        current.unused = 0;
    if (current.used && !is_among(current.used, workers, count)) {
        current.used = 0;
        current.waits = false;
    }
}

static void signal_it(const struct victim *victim, int number)
{
    syscall(SYS_pidfd_send_signal, victim->pidfd, number, NULL, 0);
}

/* Unless the client has said meanwhile that nobody is to be killed any more. */
static void strike(const struct victim *victim)
{
    struct mark *mark = mark_of(victim->pid);

    atomic_store(&scene->killing, true);
    if (is_on(atomic_load(&scene->stage))) {
        atomic_store(&mark->when, now());
        atomic_store(&mark->killed, victim->pid);
        atomic_fetch_add(&scene->kills[victim->what], 1);
        if (victim->what < HIT_SUPERVISOR)
            atomic_fetch_add(&scene->round_kills, 1);
        if (victim->what <= HIT_RETURNED && current.waits && !current.unused && !current.used)
            current.used = victim->pid;
        signal_it(victim, SIGKILL);
    }
    atomic_store(&scene->killing, false);
}

/* Kills it at some moment; sometimes it stands still before. */
static void end_worker(struct victim *victim, uint64_t *random)
{
    if (may_die(victim)) {
        if (once_in(random, 8)) {
            signal_it(victim, SIGSTOP);
            if (once_in(random, 2))
                pause_us(below(random, 2000));
        } else if (once_in(random, 2)) {
            spin_us(below(random, 60));
        }
        strike(victim);
    }
    close(victim->pidfd);
}

static void burst(const pid_t *workers, unsigned count, pid_t supervisor, uint64_t *random)
{
    struct victim victim;

    for (unsigned i = 0; i < count; i++)
        if (!once_in(random, 4) && choose(&victim, workers[i], supervisor)) {
            if (may_die(&victim))
                strike(&victim);
            close(victim.pidfd);
        }
}

static void kill_one(const pid_t *workers, unsigned count, pid_t supervisor, uint64_t *random)
{
    unsigned wish = below(random, HITS); /* the last: whoever it is */
    struct victim victim;

    for (unsigned i = 0, from = below(random, count); i < count; i++) {
        if (!choose(&victim, workers[(from + i) % count], supervisor))
            continue;
        if (wish == HIT_SUPERVISOR || victim.what == (enum hit)wish || i == count - 1) {
            end_worker(&victim, random);
            return;
        }
        close(victim.pidfd);
    }
}

static void kill_supervisor(pid_t supervisor, pid_t client)
{
    struct victim victim;

    if (atomic_load(&scene->supervisor_killed) || !choose(&victim, supervisor, client))
        return;
    victim.what = HIT_SUPERVISOR;
    atomic_store(&scene->supervisor_killed, true);
    strike(&victim);
    close(victim.pidfd);
}

static void begin_round(uint64_t seed)
{
    memset(&current, 0, sizeof current);
    current.seed = seed;
    current.opened = current.next = now();
}

/* Workers that are killed as soon as they begin would need for ever for a long map. */
static unsigned pause_of(const struct fury *fury)
{
    double age = now() - current.opened;
    unsigned least = age < 3 ? 0 : age < 6 ? 20000 : 200000;

    return fury->pause_us > least ? fury->pause_us : least;
}

unsigned long kill_some(pid_t client, uint64_t *random)
{
    const struct fury *fury = &scene->fury;
    int stage = atomic_load(&scene->stage);
    pid_t supervisor, workers[MOST_CHILDREN];
    unsigned count;

    if (!is_on(stage) || (stage == CREATING && !fury->early))
        return 300;
    if (current.seed != atomic_load(&scene->round_seed))
        begin_round(atomic_load(&scene->round_seed));
    if (children_of(client, &supervisor, 1) == 0)
        return 300;
    if (fury->supervisor_us && now() - current.opened > fury->supervisor_us * 1e-6)
        kill_supervisor(supervisor, client);
    if (fury->pause_us == 0 || now() < current.next)
        return 300;
    current.next = now() + (1 + below(random, 2 * pause_of(fury))) * 1e-6;
    count = children_of(supervisor, workers, MOST_CHILDREN);
    note_reaped(workers, count);
    if (count > 0 && once_in(random, 4))
        burst(workers, count, supervisor, random);
    else if (count > 0)
        kill_one(workers, count, supervisor, random);
    return fury->pause_us < 300 ? fury->pause_us : 300;
}
