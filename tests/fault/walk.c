/* SPDX-License-Identifier: MIT */
#include "walk.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "tracee.h"

enum { MOST_WORKERS = 16 };

struct trial {
    const struct walk_scenario *scenario;
    enum walk_event event;
    unsigned long k; /* steps */
    double patience_s;
    struct walk_stage *stage;
    pid_t client, supervisor;
    int status; /* of the client, if ... */
    bool ended; /* ... it is dead */
    struct tracee party;
    unsigned long steps;
    bool at_end; /* the path was, before its k-th step */
};

static const char *const party_names[] = { "client", "supervisor", "worker" };
static const char *const event_names[] = {
    "is killed",    "others go on", "a worker dies", "the supervisor dies", "the client dies",
    "a thread maps", "a thread cancels",
};

/* ---- Processes ----------------------------------------------------------------------- */

/* The children of a process, or of its first thread; the last is the youngest. */
static unsigned children_of(pid_t parent, pid_t *children, unsigned most)
{
    char path[64];
    unsigned count = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    file = fopen(path, "re");
    while (file && count < most && fscanf(file, "%d", &children[count]) == 1)
        count++;
    if (file)
        fclose(file);
    return count;
}

static bool sleeps(pid_t pid)
{
    return strchr("SZXtT?", tracee_state(pid)) != NULL;
}

static bool thread_sleeps(const struct trial *trial)
{
    int thread = atomic_load(&trial->stage->thread);

    return !thread || sleeps(thread);
}

/* Whether the party is the only one that could do something, and it stands or sleeps. */
static bool is_quiet(struct trial *trial)
{
    pid_t workers[MOST_WORKERS];
    unsigned count = children_of(trial->supervisor, workers, MOST_WORKERS);

    tracee_look(&trial->party);
    if (!sleeps(trial->client) || !thread_sleeps(trial) || !sleeps(trial->supervisor))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!sleeps(workers[i]))
            return false;
    return true;
}

/* The same for a little while: somebody may have been on the way from one to another. */
static void await_quiet(struct trial *trial)
{
    double end = harness_now() + trial->stage->patience_s;

    for (unsigned times = 0; times < 3 && harness_now() < end; times++) {
        if (!is_quiet(trial))
            times = 0;
        sched_yield();
    }
}

static void open_gate(atomic_uint *gate, unsigned value)
{
    atomic_store(gate, value);
    syscall(SYS_futex, gate, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- Before --------------------------------------------------------------------------- */

static bool client_has_ended(struct trial *trial)
{
    if (!trial->ended && trial->party.pid != trial->client &&
        waitpid(trial->client, &trial->status, WNOHANG) == trial->client)
        trial->ended = true;
    return trial->ended;
}

static void await_client(struct trial *trial)
{
    double end = harness_now() + trial->stage->patience_s;

    while (!atomic_load(&trial->stage->ready) || !sleeps(trial->client)) {
        if (client_has_ended(trial) || harness_now() > end)
            FAIL("%s: the client does not come to its path: %s", trial->scenario->name,
                 trial->stage->violation);
        sched_yield();
    }
}

/* That may be the spare, where there is one. */
static pid_t youngest_worker(const struct trial *trial)
{
    pid_t workers[MOST_WORKERS];
    unsigned expected = (unsigned)trial->scenario->workers + trial->scenario->large;

    while (children_of(trial->supervisor, workers, MOST_WORKERS) < expected)
        sched_yield();
    return workers[expected - 1];
}

static void take_newborn(struct trial *trial, pid_t parent)
{
    struct tracee other;

    tracee_take(&other, parent, false);
    open_gate(&trial->stage->go, 1);
    if (!tracee_take_child(&other, &trial->party))
        FAIL("%s: nobody is born", trial->scenario->name);
}

/* From here on the party stands at the beginning of its path. */
static void take_party(struct trial *trial)
{
    const struct walk_scenario *scenario = trial->scenario;
    bool reads = trial->party.reads;
    pid_t pid = scenario->party == WALK_CLIENT       ? trial->client
                : scenario->party == WALK_SUPERVISOR ? trial->supervisor
                                                     : youngest_worker(trial);

    if (scenario->from_birth) {
        take_newborn(trial,
                     scenario->party == WALK_WORKER ? trial->supervisor : trial->client);
    } else {
        while (!sleeps(pid))
            sched_yield();
        tracee_take(&trial->party, pid, reads);
    }
    if (scenario->party == WALK_SUPERVISOR)
        trial->supervisor = trial->party.pid;
    if (!scenario->path)
        kill(trial->client, SIGKILL);
    open_gate(&trial->stage->go, 1);
}

static void begin(struct trial *trial)
{
    struct walk_stage *stage = trial->stage;
    bool killed = trial->event == WALK_KILLED;

    memset(stage, 0, sizeof *stage);
    stage->patience_s = trial->patience_s;
    atomic_store(&stage->bereft, (killed && trial->scenario->party == WALK_SUPERVISOR) ||
                                     trial->event == WALK_SUPERVISOR_DIES);
    atomic_store(&stage->deaths, (killed && trial->scenario->party == WALK_WORKER) ||
                                     trial->event == WALK_WORKER_DIES);
    atomic_store(&stage->keeps, trial->event == WALK_THREAD_CANCELS);
    fflush(NULL);
    trial->client = fork();
    CHECK(trial->client >= 0);
    if (trial->client == 0)
        walk_be_client(stage, trial->scenario);
    await_client(trial);
    if (children_of(trial->client, &trial->supervisor, 1) == 0)
        trial->supervisor = 0;
    trial->party.reads = !killed;
    take_party(trial);
}

/* ---- Steps ---------------------------------------------------------------------------- */

/* Whether there is nothing more to come on the party's path. */
static bool path_is_over(struct trial *trial)
{
    bool over = atomic_load(&trial->stage->over) || client_has_ended(trial);

    if (over)
        await_quiet(trial);
    return over && sleeps(trial->party.pid);
}

static void step(struct trial *trial)
{
    double end = harness_now() + trial->stage->patience_s;
    bool last = false;

    while (trial->steps < trial->k) {
        enum tracee_event event = tracee_next(&trial->party);

        trial->at_end = event == TRACEE_ENDED ||
                        (trial->scenario->party == WALK_CLIENT &&
                         atomic_load(&trial->stage->over)) ||
                        (event == TRACEE_SLEEPS && last);
        if (trial->at_end)
            return;
        trial->steps += event == TRACEE_STEPPED;
        last = event == TRACEE_SLEEPS && path_is_over(trial);
        if (harness_now() < end)
            continue;
        walk_violated(trial->stage, "the path does not come to its end");
        return;
    }
}

/* ---- What happens at the point --------------------------------------------------------- */

static void kill_a_worker(struct trial *trial)
{
    pid_t workers[MOST_WORKERS];
    unsigned count = children_of(trial->supervisor, workers, MOST_WORKERS);

    if (trial->supervisor && count > 0)
        kill(workers[0], SIGKILL);
}

static void kill_the_supervisor(struct trial *trial)
{
    if (!trial->supervisor)
        children_of(trial->client, &trial->supervisor, 1);
    if (!trial->supervisor || trial->ended)
        return;
    kill(trial->supervisor, SIGKILL);
    atomic_store(&trial->stage->killed, true);
}

static void happen(struct trial *trial)
{
    tracee_show(&trial->party);
    switch (trial->event) {
    case WALK_KILLED:
        tracee_kill(&trial->party);
        if (trial->scenario->party == WALK_SUPERVISOR)
            atomic_store(&trial->stage->killed, true);
        return;
    case WALK_WORKER_DIES:
        kill_a_worker(trial);
        break;
    case WALK_SUPERVISOR_DIES:
        kill_the_supervisor(trial);
        break;
    case WALK_CLIENT_DIES:
        kill(trial->client, SIGKILL);
        break;
    case WALK_THREAD_MAPS:
    case WALK_THREAD_CANCELS:
        open_gate(&trial->stage->event, trial->event);
        break;
    default:
        break;
    }
    await_quiet(trial);
    tracee_release(&trial->party);
}

/* ---- After ----------------------------------------------------------------------------- */

static bool client_dies(const struct trial *trial)
{
    return !trial->scenario->path || trial->event == WALK_CLIENT_DIES ||
           (trial->event == WALK_KILLED && trial->scenario->party == WALK_CLIENT);
}

static void await_end_of_client(struct trial *trial)
{
    double end = harness_now() + trial->stage->patience_s;

    if (trial->party.pid == trial->client) {
        trial->party.pid = 0; /* it is nobody's tracee any more */
        trial->ended = trial->event == WALK_KILLED;
    }
    open_gate(&trial->stage->leave, 1);
    while (!client_has_ended(trial)) {
        if (harness_now() > end) {
            walk_violated(trial->stage, "the client does not come to its end%s",
                          atomic_load(&trial->stage->over) ? ", its path is over" : "");
            return;
        }
        sched_yield();
    }
    if (!client_dies(trial) && trial->status != 0)
        walk_violated(trial->stage, "the client ended with status 0x%x",
                      (unsigned)trial->status);
}

static bool is_alone(void)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
        ;
    return pid < 0 && errno == ECHILD;
}

static void kill_all(void)
{
    struct harness_process left[64];
    size_t count = harness_descendants(getpid(), left, 64);

    for (size_t i = 0; i < count && i < 64; i++)
        kill(left[i].pid, SIGKILL);
}

static void check_nobody_is_left(struct trial *trial)
{
    double end = harness_now() + trial->stage->patience_s;

    while (!is_alone()) {
        if (harness_now() > end || *trial->stage->violation) {
            walk_violated(trial->stage, "processes are left");
            kill_all();
        }
        sched_yield();
    }
}

/* ---- All points ------------------------------------------------------------------------ */

static void run(struct trial *trial)
{
    begin(trial);
    step(trial);
    happen(trial);
    await_end_of_client(trial);
    check_nobody_is_left(trial);
}

static void count(const struct trial *trial, struct walk_tally *tally)
{
    tally->runs++;
    if (*trial->stage->violation && tally->violations++ == 0)
        snprintf(tally->first, sizeof tally->first, "%s, %s, after %lu steps (%lu calls): %s",
                 trial->scenario->name, event_names[trial->event], trial->steps,
                 trial->party.calls, trial->stage->violation);
}

static void show_progress(const struct trial *trial, const struct walk_tally *tally)
{
    static double next;

    if (harness_now() < next)
        return;
    if (next > 0)
        fprintf(stderr, "... %s, %s: %u runs, of %u points\n", trial->scenario->name,
                event_names[trial->event], tally->runs, tally->points);
    next = harness_now() + 10;
}

/* Pages of this that were read are all the same page of zeros: but they must be copied. */
#define LARGE ((size_t)4 << 30)

static void *make_large(void)
{
    char *memory = mmap(NULL, LARGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(memory != MAP_FAILED);
    madvise(memory, LARGE, MADV_NOHUGEPAGE);
    memory[0] = 1; /* otherwise it would not be looked at */
    for (volatile char *page = memory; page < memory + LARGE; page += 4096)
        (void)*page;
    return memory;
}

static struct trial try_point(const struct trial *point, unsigned long k,
                              struct walk_tally *tally)
{
    struct trial trial = *point;

    trial.k = k;
    run(&trial);
    count(&trial, tally);
    show_progress(&trial, tally);
    return trial;
}

/* From one point to the next until the path is over, which is not equally long each time. */
static void try_each(const struct trial *point, unsigned enough, struct walk_tally *tally)
{
    bool at_end = false;

    for (unsigned long k = 0; !at_end && tally->violations < enough; k++)
        at_end = try_point(point, k, tally).at_end;
}

/* Not at the same places of each path. */
static void try_some(const struct trial *point, struct walk_manner manner,
                     struct walk_tally *tally)
{
    unsigned points = tally->points, step = points / manner.most + 1;
    unsigned long begin = (strlen(point->scenario->name) * 7 + point->event * 5) % step;

    for (unsigned long k = begin; k < points && tally->violations < manner.enough; k += step)
        try_point(point, k, tally);
}

/* The first run is the whole path, for its length. */
static void try_points(const struct trial *point, struct walk_manner manner,
                       struct walk_tally *tally)
{
    const char *only = getenv("TEST_POINT");
    struct trial whole;

    if (only) {
        try_point(point, strtoul(only, NULL, 10), tally);
        return;
    }
    whole = try_point(point, ULONG_MAX, tally);
    tally->points = (unsigned)whole.steps;
    tally->calls = (unsigned)whole.party.calls;
    if (manner.most == UINT_MAX)
        try_each(point, manner.enough, tally);
    else
        try_some(point, manner, tally);
}

struct walk_tally walk(const struct walk_scenario *scenario, enum walk_event event,
                       struct walk_manner manner)
{
    struct walk_tally tally = { 0 };
    struct walk_stage *stage =
        mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct trial point = { .scenario = scenario,
                           .event = event,
                           .stage = stage,
                           .patience_s = manner.patience_s * harness_time_factor() };
    void *large = scenario->large ? make_large() : NULL;
    double begun = harness_now();

    CHECK(stage != MAP_FAILED);
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    try_points(&point, manner, &tally);
    munmap(stage, sizeof *stage);
    if (large)
        munmap(large, LARGE);
    printf("%s; %s%s: %u points (%u calls), %u runs, %u violations, %.1f s\n", scenario->name,
           event == WALK_KILLED ? "the " : "meanwhile ",
           event == WALK_KILLED ? party_names[scenario->party] : event_names[event],
           tally.points, tally.calls, tally.runs, tally.violations, harness_now() - begun);
    if (tally.violations)
        printf("%s\n", tally.first);
    fflush(stdout);
    return tally;
}
