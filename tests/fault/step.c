/* SPDX-License-Identifier: MIT */
#include "step.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum { VICTIM, HELPER, PREDECESSOR }; /* seats */

/* One point: a worker that is to be stopped after so many steps from a mark. */
struct trial {
    const struct step_scenario *scenario;
    enum step_fate fate;
    enum rig_mark from, to; /* the stretch */
    unsigned k;
    struct survey *survey; /* in the first trial of a stretch */

    struct rig *rig;
    pid_t victim, helper, predecessor, client;
    int status; /* of the victim, if it is dead */
    bool dead;
    uint32_t bell; /* the client's, before */
    bool cost;
    unsigned long steps;
    bool was_claimed, was_begun, was_over; /* at the victim's death */
    unsigned runs[RIG_ITEMS];
    char violation[200];
};

/* After which steps of a stretch shared memory was another than before them. */
enum { MOST_STEPS = 1 << 16 };

struct survey {
    unsigned steps;
    bool changed[MOST_STEPS + 1];
};

__attribute__((format(printf, 2, 3))) static void violated(struct trial *trial,
                                                           const char *format, ...)
{
    va_list arguments;

    if (*trial->violation)
        return;
    va_start(arguments, format);
    vsnprintf(trial->violation, sizeof trial->violation, format, arguments);
    va_end(arguments);
}

/* ---- Steps ----------------------------------------------------------------------- */

enum stepped { STOPPED, SLEEPS, ENDED };

/* Waits for the end of a step, or of all steps: while the worker may be asleep it looks
   again and again. */
static enum stepped await_step(struct trial *trial)
{
    pid_t got = 0;

    while (got == 0) {
        bool may_sleep = atomic_load(&trial->rig->shared->asleep[VICTIM]);
        bool sleeps = may_sleep && rig_sleeps(trial->rig, VICTIM, trial->victim);

        got = waitpid(trial->victim, &trial->status, may_sleep ? WNOHANG : 0);
        if (got == 0 && sleeps)
            return SLEEPS;
        if (got == 0)
            sched_yield();
    }
    CHECK_EQ(got, trial->victim);
    if (WIFSTOPPED(trial->status))
        return STOPPED;
    trial->dead = true;
    return ENDED;
}

static void await_stop(struct trial *trial)
{
    CHECK_EQ(waitpid(trial->victim, &trial->status, 0), trial->victim);
    if (!WIFSTOPPED(trial->status) || WSTOPSIG(trial->status) != SIGSTOP)
        FAIL("the worker did not come to its mark: status 0x%x", (unsigned)trial->status);
}

static bool has_passed(const struct trial *trial)
{
    return (atomic_load(&trial->rig->shared->passed) & 1U << trial->to) != 0;
}

/* All that the worker can write for others to see, as far as it is used here. */
struct scene {
    char claims[offsetof(struct ppi_claims_shm, words) + 64 * sizeof(uint64_t)];
    char seat[offsetof(struct ppi_seat_shm, records) + 16 * sizeof(struct ppi_record_shm)];
    char outbox[1024];
    char values[1024]; /* in shared memory */
    struct rig_shared shared;
};

static void look(const struct rig *rig, struct scene *scene)
{
    memcpy(scene->claims, (void *)rig->queue->claims, sizeof scene->claims);
    memcpy(scene->seat, (void *)ppi_queue_seat(rig->queue, VICTIM), sizeof scene->seat);
    memcpy(scene->outbox, ppi_queue_outbox(rig->queue, VICTIM), sizeof scene->outbox);
    memcpy(scene->values, rig->queue->shared, sizeof scene->values);
    memcpy(&scene->shared, (void *)rig->shared, sizeof scene->shared);
}

static void note_change(struct trial *trial)
{
    static struct scene scenes[2];
    struct scene *now = &scenes[trial->steps % 2], *before = &scenes[1 - trial->steps % 2];

    if (!trial->survey)
        return;
    if (trial->steps >= MOST_STEPS)
        FAIL("the path of %s is too long", trial->scenario->name);
    look(trial->rig, now);
    trial->survey->changed[trial->steps] = memcmp(now, before, sizeof *now) != 0;
    trial->survey->steps = (unsigned)trial->steps;
}

/* Runs k instructions; false if the stretch ends before. */
static bool step(struct trial *trial)
{
    for (trial->steps = 0; trial->steps < trial->k; trial->steps++) {
        note_change(trial);
        if (has_passed(trial))
            return false;
        CHECK_EQ(ptrace(PTRACE_SINGLESTEP, trial->victim, NULL, NULL), 0);
        if (await_step(trial) != STOPPED)
            return false;
        if (WSTOPSIG(trial->status) != SIGTRAP && WSTOPSIG(trial->status) != SIGSTOP) {
            violated(trial, "the worker got SIG%s", sigabbrev_np(WSTOPSIG(trial->status)));
            return false;
        }
    }
    return true;
}

/* ---- Before ------------------------------------------------------------------------ */

/* A client that sleeps until there is a record, whoever's. */
static pid_t spawn_client(struct rig *rig)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    while (pid == 0) {
        uint32_t bell = ppi_client_announce(rig->queue, PPI_ANYTHING);

        if (rig->queue->control->tail > 0 || ppi_queue_seat(rig->queue, VICTIM)->tail > 0)
            _exit(0);
        ppi_client_sleep(rig->queue, bell, UINT64_MAX);
    }
    return pid;
}

/* The task's first worker is killed by item 1, so that the next begins at item 2. */
static void die_once(struct trial *trial)
{
    struct rig *rig = trial->rig;
    unsigned seat = trial->scenario->same_seat ? VICTIM : PREDECESSOR;
    int status;

    rig_dies_at = 1;
    trial->predecessor = rig_spawn(rig, seat, RIG_NOWHERE);
    rig_dies_at = -1;
    CHECK_EQ(waitpid(trial->predecessor, &status, 0), trial->predecessor);
    CHECK(rig_reap(rig, seat, status));
    rig_drain(rig);
    CHECK_EQ(rig->outcomes[1].kind, PPI_CRASH);
}

/* An earlier task of the victim's, whose records are not taken yet when the next comes. */
static long earlier(long item)
{
    return item;
}
PP_TASK(long, earlier, long, item);

/* Everybody sleeps when the task comes; the wake-up reaches the victim, who slept first. */
static void wake_victim(struct trial *trial)
{
    rig_await_sleep(trial->rig, VICTIM, trial->victim);
    trial->helper = rig_spawn(trial->rig, HELPER, RIG_NOWHERE);
    rig_await_sleep(trial->rig, HELPER, trial->helper);
    trial->client = spawn_client(trial->rig);
    rig_submit(trial->rig, trial->scenario->task, 0, trial->scenario->items);
}

/* Brings the worker to where its steps begin. */
static void begin(struct trial *trial)
{
    const struct step_scenario *scenario = trial->scenario;
    struct rig *rig = trial->rig;

    rig_open(rig);
    rig->heritage.max_items = scenario->max_items;
    rig->in_place = scenario->in_place;
    if (scenario->worked_before)
        rig_submit(rig, &earlier_pp_task, 0, 2);
    if (!scenario->woken)
        rig_submit(rig, scenario->task, 0, scenario->items);
    if (scenario->handed_back)
        die_once(trial);
    trial->bell = ppi_client_announce(rig->queue, PPI_ANYTHING);
    trial->victim = rig_spawn(rig, VICTIM, trial->from);
    if (scenario->woken)
        wake_victim(trial);
    await_stop(trial);
}

/* ---- After ------------------------------------------------------------------------ */

static bool is_complete(struct rig *rig)
{
    rig_drain(rig);
    for (unsigned item = rig->begin; item < rig->end; item++)
        if (rig->outcomes[item].times == 0)
            return false;
    return true;
}

static bool gone_within(pid_t pid, double seconds, int *status)
{
    double end = harness_now() + seconds * harness_time_factor();
    pid_t got;

    while ((got = waitpid(pid, status, WNOHANG)) == 0 && harness_now() < end)
        sched_yield();
    return got == pid;
}

/* Those who slept when the worker was killed must have been woken for what it left. */
static void let_sleepers_finish(struct trial *trial)
{
    double end = harness_now() + 2 * harness_time_factor();
    int status = 0;

    while (!is_complete(trial->rig) && harness_now() < end)
        sched_yield();
    if (!is_complete(trial->rig))
        violated(trial, "a task is there and all sleep");
    if (!gone_within(trial->client, 2, &status)) {
        violated(trial, "records are there and the client sleeps");
        kill(trial->client, SIGKILL);
        waitpid(trial->client, NULL, 0);
    }
}

/* A healthy worker does what there is to do, and ends; 10 s are far more than it takes. */
static void let_helper_finish(struct trial *trial)
{
    int status = 0;

    if (trial->scenario->woken)
        let_sleepers_finish(trial);
    rig_finish(trial->rig);
    trial->rig->heritage.max_items = 0;
    if (!trial->helper)
        trial->helper = rig_spawn(trial->rig, HELPER, RIG_NOWHERE);
    if (!gone_within(trial->helper, 10, &status)) {
        violated(trial, "the other worker does not end");
        kill(trial->helper, SIGKILL);
        waitpid(trial->helper, &status, 0);
    }
    if (status != 0)
        violated(trial, "the other worker ended with status 0x%x", (unsigned)status);
    if (rig_reap(trial->rig, HELPER, status))
        violated(trial, "the end of the other worker is said to have cost an item");
    rig_drain(trial->rig);
}

static void note_scene(struct trial *trial)
{
    const struct rig *rig = trial->rig;
    const struct ppi_seat_shm *seat = ppi_queue_seat(rig->queue, VICTIM);
    const struct ppi_record_shm *last = &seat->records[(seat->tail - 1) % PPI_RECORDS];

    trial->was_claimed = ppi_claimed_by(rig->queue, rig->position, VICTIM);
    trial->was_begun = seat->runs == rig->position;
    trial->was_over =
        seat->tail > 0 && last->position == rig->position && last->flags & PPI_LAST;
    for (unsigned item = 0; item < RIG_ITEMS; item++)
        trial->runs[item] = atomic_load(&rig->shared->runs[item]);
}

static void bury(struct trial *trial)
{
    const struct ppi_claims_shm *claims = trial->rig->queue->claims;

    note_scene(trial);
    trial->cost = rig_reap(trial->rig, VICTIM, trial->status);
    if (claims->client_bell == trial->bell)
        violated(trial, "the client was not told of the death");
    if (claims->sleepers[0] & 1U << VICTIM)
        violated(trial, "the dead is still said to sleep");
    rig_drain(trial->rig);
}

static void kill_victim(struct trial *trial)
{
    if (!trial->dead) {
        kill(trial->victim, SIGKILL);
        CHECK_EQ(waitpid(trial->victim, &trial->status, 0), trial->victim);
    }
    bury(trial);
    let_helper_finish(trial);
}

static void pause_victim(struct trial *trial)
{
    let_helper_finish(trial);
    if (!trial->dead) {
        ptrace(PTRACE_DETACH, trial->victim, NULL, NULL);
        if (!gone_within(trial->victim, 10, &trial->status)) {
            violated(trial, "the worker that was stopped does not end");
            kill(trial->victim, SIGKILL);
            waitpid(trial->victim, &trial->status, 0);
        }
    }
    if (trial->status != 0)
        violated(trial, "the worker that was stopped ended with status 0x%x",
                 (unsigned)trial->status);
    bury(trial);
}

/* ---- The verdict ---------------------------------------------------------------------- */

static void check_crash(struct trial *trial, unsigned item)
{
    const struct rig *rig = trial->rig;
    const struct rig_outcome *outcome = &rig->outcomes[item];

    if (!trial->cost)
        violated(trial, "item %u has crashed, and its worker's death cost nothing", item);
    if (!trial->was_claimed || !trial->was_begun || trial->was_over)
        violated(trial, "item %u has crashed, and the dead had %s", item,
                 !trial->was_claimed ? "not claimed it"
                 : trial->was_over   ? "committed it"
                                     : "not begun the task");
    if (outcome->code != trial->status || outcome->seat != VICTIM)
        violated(trial, "item %u has crashed of 0x%x on seat %u", item,
                 (unsigned)outcome->code, outcome->seat);
    for (unsigned other = item + 1; other < rig->end; other++)
        if (trial->runs[other] > 0)
            violated(trial, "item %u has crashed, and the dead was at %u", item, other);
    for (unsigned other = trial->scenario->handed_back ? 2 : 0; other < item; other++)
        if (rig->outcomes[other].seat != VICTIM)
            violated(trial, "item %u has crashed, and %u was run after that", item, other);
}

static void check_item(struct trial *trial, unsigned item)
{
    const struct rig_outcome *outcome = &trial->rig->outcomes[item];
    unsigned runs = atomic_load(&trial->rig->shared->runs[item]);

    if (outcome->times != 1)
        violated(trial, "item %u has %u outcomes", item, outcome->times);
    if (runs > 1)
        violated(trial, "item %u has run %u times", item, runs);
    if (outcome->kind == PPI_CRASH) {
        if (outcome->pid == trial->victim)
            check_crash(trial, item);
        else if (outcome->pid != trial->predecessor || item != 1)
            violated(trial, "item %u has crashed in a healthy worker", item);
    } else if (runs != 1) {
        violated(trial, "item %u has an outcome, and never ran", item);
    } else if (!trial->scenario->right(outcome, item)) {
        violated(trial, "item %u has a wrong value, of seat %u", item, outcome->seat);
    }
}

static unsigned crashes(const struct trial *trial)
{
    unsigned count = 0;

    for (unsigned item = 0; item < trial->rig->end; item++)
        count += trial->rig->outcomes[item].pid == trial->victim;
    return count;
}

static void check(struct trial *trial)
{
    const struct rig *rig = trial->rig;

    if (rig->nonsense)
        violated(trial, "a record is nonsense: %s", rig->nonsense);
    for (unsigned item = 0; item < rig->end; item++)
        check_item(trial, item);
    if (trial->cost && trial->status == 0)
        violated(trial, "an end in good order cost an item");
    if (crashes(trial) != trial->cost)
        violated(trial, "the death cost %u items, not %d", crashes(trial), trial->cost);
    if (rig->deaths[VICTIM] != 1U + trial->scenario->same_seat || rig->deaths[HELPER] != 1)
        violated(trial, "%u and %u records of a death", rig->deaths[VICTIM],
                 rig->deaths[HELPER]);
    if (rig->queue->claims->sleepers[0])
        violated(trial, "all have ended, and somebody is said to sleep");
}

static void count(struct step_tally *tally, const struct trial *trial)
{
    bool early = trial->cost, handed_on = false;

    for (unsigned item = 0; item < trial->rig->end; item++) {
        const struct rig_outcome *outcome = &trial->rig->outcomes[item];

        if (outcome->pid == trial->victim)
            early = trial->runs[item] == 0;
        handed_on |= outcome->seat == HELPER;
    }
    tally->points++;
    tally->steps += trial->steps;
    tally->charged += trial->cost;
    tally->early += early;
    tally->handed_on += handed_on;
    if (*trial->violation && tally->violations++ == 0)
        snprintf(tally->first, sizeof tally->first, "%s, %u steps from mark %d: %s",
                 trial->scenario->name, trial->k, trial->from, trial->violation);
}

/* ---- All points ------------------------------------------------------------------------- */

static void try_point(struct trial *trial, struct step_tally *tally)
{
    begin(trial);
    step(trial);
    if (trial->fate == STEP_KILLED)
        kill_victim(trial);
    else
        pause_victim(trial);
    check(trial);
    count(tally, trial);
    rig_close(trial->rig);
}

/* So many violations are enough to know. */
enum { ENOUGH = 10 };

/* The first trial goes to the end of the stretch; the others end before it. */
static void explore_stretch(const struct trial *stretch, unsigned n, struct step_tally *tally)
{
    static struct survey survey;
    struct trial trial = *stretch;

    trial.k = MOST_STEPS;
    trial.survey = &survey;
    try_point(&trial, tally);
    for (unsigned k = 0; k < survey.steps && tally->violations < ENOUGH; k++) {
        if (k % n != 0 && !survey.changed[k] && !survey.changed[k + 1])
            continue;
        trial = *stretch;
        trial.k = k;
        try_point(&trial, tally);
    }
}

struct step_tally step_explore(const struct step_scenario *scenario, enum step_fate fate,
                               unsigned n)
{
    static struct rig rig; /* large */
    struct step_tally tally = { 0 };

    for (const enum rig_mark *mark = scenario->marks; mark[1]; mark++) {
        struct trial stretch = {
            .scenario = scenario, .fate = fate, .from = mark[0], .to = mark[1], .rig = &rig
        };

        explore_stretch(&stretch, n, &tally);
    }
    printf("%s: %u points, %u violations; %lu steps; %u deaths cost an item (%u of them one "
           "not begun yet), after %u another worker went on\n",
           scenario->name, tally.points, tally.violations, tally.steps, tally.charged,
           tally.early, tally.handed_on);
    if (tally.violations)
        printf("%s\n", tally.first);
    fflush(stdout);
    return tally;
}
