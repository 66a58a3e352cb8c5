/* SPDX-License-Identifier: MIT */
#include "stop_step.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "stop_trial.h"

/* ---- Before ------------------------------------------------------------------------ */

static void (*handler)(int);

static void set_handler(void)
{
    signal(SIGTERM, handler ? handler : SIG_DFL);
}

static void submit(struct trial *trial)
{
    const struct stop_scenario *scenario = trial->scenario;
    const pp_task *task = trial->tasks->task;
    struct rig *rig = trial->rig;
    unsigned end = target_end(trial);

    rig->limit_ns = scenario->limited ? 3600 * PPI_SECOND : 0;
    rig->grace_ms = scenario->grace_ms;
    rig_submit(rig, task, 0, STOP_FIRST);
    rig_submit_beside(rig, task, STOP_FIRST, end);
    trial->target = rig->position;
    rig_submit_beside(rig, task, end, end + 1);
}

/* The target's first worker dies in its second item. */
static void die_once(struct trial *trial)
{
    struct rig *rig = trial->rig;
    unsigned seat = trial->scenario->same_seat ? VICTIM : PREDECESSOR;
    int status;

    rig_dies_at = STOP_FIRST + 1;
    trial->predecessor = rig_spawn(rig, seat, RIG_NOWHERE);
    rig_dies_at = -1;
    CHECK_EQ(waitpid(trial->predecessor, &status, 0), trial->predecessor);
    CHECK(rig_reap(rig, seat, status));
    rig_drain(rig);
    CHECK_EQ(rig->outcomes[STOP_FIRST + 1].kind, PPI_CRASH);
}

static int await_stop(pid_t pid)
{
    int status = 0;

    CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
        FAIL("a process did not come to its mark: status 0x%x", (unsigned)status);
    return status;
}

/* Brings the worker to where its steps begin. */
static void begin(struct trial *trial)
{
    const struct stop_scenario *scenario = trial->scenario;
    struct rig *rig = trial->rig;

    trial->stage->withdrawn = false;
    rig_open(rig);
    handler = scenario->on_term;
    rig_prepare = set_handler;
    rig_stays_at = scenario->endless ? (long)scenario->endless : -1;
    submit(trial);
    if (scenario->handed_back)
        die_once(trial);
    ppi_look_at_tasks(&rig->supervisor);
    rig->heritage.max_items = scenario->max_items;
    trial->born_ns = ppi_now_ns();
    trial->victim = rig_spawn(rig, VICTIM, trial->from);
    trial->status = await_stop(trial->victim);
}

/* ---- Steps --------------------------------------------------------------------------- */

enum stepped { STOPPED, SLEEPS, ENDED };

static bool sleeps(const struct trial *trial)
{
    return atomic_load(&trial->rig->shared->asleep[VICTIM]) &&
           rig_sleeps(trial->rig, VICTIM, trial->victim);
}

/* Waits until the worker, which was let go, stops, sleeps or ends. */
static enum stepped await_victim(struct trial *trial)
{
    pid_t got = 0;

    while (got == 0) {
        bool asleep = sleeps(trial);

        got = waitpid(trial->victim, &trial->status, WNOHANG);
        if (got == 0 && asleep)
            return SLEEPS;
        if (got == 0)
            sched_yield();
    }
    CHECK_EQ(got, trial->victim);
    trial->dead = !WIFSTOPPED(trial->status);
    return trial->dead ? ENDED : STOPPED;
}

/* The worker goes on if it is stopped, and gets the signal that it was stopped for, if it was. */
static void let_go(struct trial *trial, enum __ptrace_request how)
{
    int signal = WIFSTOPPED(trial->status) ? WSTOPSIG(trial->status) : 0;

    if (signal == SIGTRAP || signal == SIGSTOP)
        signal = 0;
    if (signal == SIGTERM && trial->late) {
        trial->held = true;
        signal = 0;
    }
    trial->status = 0;
    if (ptrace(how, trial->victim, NULL, (void *)(long)signal) != 0)
        CHECK_EQ(errno, ESRCH); /* it was killed */
}

/* From here on signals come in time, and the one that was held back does. */
static void deliver_late(struct trial *trial)
{
    if (trial->held && !trial->dead)
        kill(trial->victim, SIGTERM);
    trial->late = trial->held = false;
}

/* Whether the worker's next instruction calls the kernel. */
static bool calls_kernel(const struct trial *trial)
{
#ifdef __x86_64__
    void *rip = (void *)offsetof(struct user_regs_struct, rip);
    long at = ptrace(PTRACE_PEEKUSER, trial->victim, rip, NULL);

    return (ptrace(PTRACE_PEEKTEXT, trial->victim, (void *)at, NULL) & 0xffff) == 0x050f;
#else
    (void)trial;
    return true; /* it may */
#endif
}

/* The worker runs so many instructions; false if the stretch ends before, or all does. */
static bool step(struct trial *trial, unsigned count)
{
    for (unsigned i = 0; i < count; i++, trial->steps++) {
        if (atomic_load(&trial->rig->shared->passed) >> trial->to)
            return false;
        if (trial->held && calls_kernel(trial))
            deliver_late(trial);
        let_go(trial, PTRACE_SINGLESTEP);
        if (await_victim(trial) != STOPPED)
            return false;
    }
    return true;
}

/* ---- The act ------------------------------------------------------------------------ */

static void end_limit(struct trial *trial)
{
    struct ppi_slot_shm *slot = ppi_queue_slot(trial->rig->queue, trial->target);
    uint64_t limit_ns = slot->limit_ns;

    slot->limit_ns = 1;
    ppi_look_at_tasks(&trial->rig->supervisor);
    if (!trial->scenario->endless)
        slot->limit_ns = limit_ns;
}

static void act(struct trial *trial)
{
    struct rig *rig = trial->rig;

    trial->begun = ppi_queue_seat(rig->queue, VICTIM)->started >= trial->born_ns;
    switch (trial->scenario->act) {
    case STOP_CANCEL:
        ppi_set_cancelled(rig->queue, trial->target, PPI_NOW);
        ppi_look_at_tasks(&rig->supervisor);
        break;
    case STOP_SOON:
        ppi_set_cancelled(rig->queue, trial->target, PPI_SOON);
        ppi_look_at_tasks(&rig->supervisor);
        break;
    case STOP_LIMIT:
        end_limit(trial);
        break;
    case STOP_WITHDRAW:
        trial->stage->withdrawn = ppi_withdraw(rig->queue, trial->target);
        break;
    }
}

/* The item in whose function the worker would stop next. */
static enum rig_mark next_mark(const struct trial *trial)
{
    unsigned passed = atomic_load(&trial->rig->shared->passed);

    for (enum rig_mark mark = RIG_ITEM; mark <= RIG_ITEM + target_end(trial); mark++)
        if (!(passed >> mark))
            return mark;
    return RIG_NEVER;
}

/* The worker runs until it stops at this mark, or sleeps, or has ended. */
static void run_to(struct trial *trial, enum rig_mark mark)
{
    atomic_store(&trial->rig->shared->stop_at, mark);
    do {
        let_go(trial, PTRACE_CONT);
    } while (await_victim(trial) == STOPPED && WSTOPSIG(trial->status) != SIGSTOP);
}

/* It runs until it asks the kernel for something, and gets the signal that comes late. */
static void run_to_kernel(struct trial *trial)
{
    if (trial->dead || !trial->held)
        return;
    let_go(trial, PTRACE_SYSCALL);
    await_victim(trial);
    deliver_late(trial);
}

/* The worker goes on while the act pauses, until it has stopped, or sleeps, or has ended. */
static void release(struct trial *trial)
{
    enum rig_mark to = trial->to;

    if (trial->release == AS_FAR_AS_IT_CAN)
        run_to(trial, RIG_NEVER);
    else if (trial->release == TO_NEXT_MARK)
        run_to(trial, next_mark(trial));
    trial->waited = !trial->dead && sleeps(trial) && is_to_stop(trial, VICTIM);
    if (trial->release < SOME_STEPS)
        return;
    trial->late = trial->release == LATE_SIGNAL;
    trial->to = RIG_NEVER;
    step(trial, 1 + (trial->k * 31 + trial->j * 17) % 300);
    trial->to = to;
}

static pid_t spawn_actor(struct trial *trial)
{
    pid_t pid = fork();

    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(1);
        raise(SIGSTOP);
        act(trial);
        _exit(0);
    }
    CHECK(pid > 0);
    await_stop(pid);
    return pid;
}

/* Whether the actor comes as far as its j-th instruction. */
static bool step_actor(const struct trial *trial, pid_t actor)
{
    int status = 0;

    for (unsigned j = 0; j < trial->j; j++) {
        CHECK_EQ(ptrace(PTRACE_SINGLESTEP, actor, NULL, NULL), 0);
        CHECK_EQ(waitpid(actor, &status, 0), actor);
        if (!WIFSTOPPED(status)) {
            CHECK_EQ(status, 0);
            return false;
        }
    }
    return true;
}

/* The act, in a process of its own that stops on the way; false if it is too short. */
static bool act_in_parts(struct trial *trial)
{
    pid_t actor = spawn_actor(trial);
    int status = 0;

    if (!step_actor(trial, actor))
        return false;
    if (!trial->at_end)
        release(trial);
    ptrace(PTRACE_CONT, actor, NULL, NULL);
    CHECK_EQ(waitpid(actor, &status, 0), actor);
    CHECK_EQ(status, 0);
    run_to_kernel(trial);
    trial->late = false;
    return true;
}

/* ---- After ------------------------------------------------------------------------ */

static bool is_complete(const struct trial *trial)
{
    for (unsigned item = 0; item <= target_end(trial); item++)
        if (trial->rig->outcomes[item].times == 0 &&
            !(trial->stage->withdrawn && is_target(trial, item)))
            return false;
    return true;
}

static pid_t living(const struct trial *trial, unsigned seat)
{
    return trial->rig->supervisor.places[seat].pid;
}

/* What the supervisor's loop does. */
static void look(struct trial *trial)
{
    struct ppi_supervisor *supervisor = &trial->rig->supervisor;
    unsigned alarms = atomic_load(&trial->rig->shared->alarms);

    if (alarms == trial->seen_alarms && ppi_now_ns() < supervisor->look_at_ns)
        return;
    trial->seen_alarms = alarms;
    ppi_look_at_tasks(supervisor);
}

static void bury(struct trial *trial, unsigned seat, int status)
{
    bool cost = rig_reap(trial->rig, seat, status);

    rig_drain(trial->rig);
    if (seat == VICTIM)
        trial->cost = cost;
    else if (status != 0 && !cost)
        violated(trial, "the other worker ended with status 0x%x", (unsigned)status);
}

static void look_after_victim(struct trial *trial)
{
    if (!trial->dead && waitpid(trial->victim, &trial->status, WNOHANG) == trial->victim) {
        trial->dead = !WIFSTOPPED(trial->status);
        if (!trial->dead)
            let_go(trial, PTRACE_CONT);
    }
    if (trial->dead)
        bury(trial, VICTIM, trial->status);
}

/* Another worker does what the first one has left. */
static void look_after_helper(struct trial *trial)
{
    pid_t helper = living(trial, HELPER);
    int status;

    if (helper && waitpid(helper, &status, WNOHANG) == helper)
        bury(trial, HELPER, status);
    else if (!helper && !living(trial, VICTIM) && !is_complete(trial))
        rig_spawn(trial->rig, HELPER, RIG_NOWHERE);
}

static void give_up(struct trial *trial)
{
    violated(trial, "it does not end");
    for (unsigned seat = VICTIM; seat <= HELPER; seat++)
        if (living(trial, seat)) {
            kill(living(trial, seat), SIGKILL);
            waitpid(living(trial, seat), NULL, 0);
        }
}

/* All goes on, until all is done and nobody left; 10 s are far more than it takes. */
static void go_on(struct trial *trial)
{
    double end = harness_now() + 10 * harness_time_factor();

    atomic_store(&trial->rig->shared->stop_at, RIG_NEVER);
    trial->rig->heritage.max_items = 0;
    rig_finish(trial->rig);
    if (!trial->dead)
        let_go(trial, PTRACE_CONT);
    while (living(trial, VICTIM) || living(trial, HELPER) || !is_complete(trial)) {
        look(trial);
        if (living(trial, VICTIM))
            look_after_victim(trial);
        look_after_helper(trial);
        rig_drain(trial->rig);
        if (harness_now() > end) {
            give_up(trial);
            return;
        }
        sched_yield();
    }
}

static void count(struct stop_tally *tally, const struct trial *trial)
{
    tally->points++;
    tally->steps += trial->steps;
    tally->kills += trial->status != 0;
    tally->innocent += trial->status != 0 && !trial->cost;
    tally->stopped += trial->stopped;
    tally->withdrawn += trial->stage->withdrawn;
    tally->waited += trial->waited;
    if (*trial->violation && tally->violations++ == 0)
        snprintf(tally->first, sizeof tally->first,
                 "%s, %u steps from mark %d, act stopped after %d, release %d: %s",
                 trial->scenario->name, trial->k, trial->from,
                 trial->in_parts ? (int)trial->j : -1, trial->release, trial->violation);
}

/* ---- All points ------------------------------------------------------------------------- */

/* Says in the point, too, whether the stretch or the act ended before. */
static void try_point(struct trial *point, struct stop_tally *tally)
{
    struct trial trial = *point;

    begin(&trial);
    trial.at_end = !step(&trial, trial.k);
    if (trial.in_parts)
        trial.act_over = !act_in_parts(&trial);
    else
        act(&trial);
    go_on(&trial);
    check_trial(&trial);
    count(tally, &trial);
    rig_close(trial.rig);
    point->at_end = trial.at_end;
    point->act_over = trial.act_over;
}

/* So many violations are enough to know. */
enum { ENOUGH = 3 };

static bool has_enough(const struct stop_tally *tally, struct stop_stride stride)
{
    return tally->violations >= (stride.enough ? stride.enough : ENOUGH);
}

/* All parts of the act at one point of the worker. */
static void try_parts(struct trial *point, struct stop_stride stride, struct stop_tally *tally)
{
    /* Without a grace period there is no signal that could be late. */
    enum release releases = point->scenario->grace_ms > 0 ? RELEASES : LATE_SIGNAL;

    point->act_over = false;
    for (point->j = point->k % stride.m; !point->at_end && !point->act_over;
         point->j += stride.m)
        for (enum release r = 0; r < releases; r++) {
            point->release = r;
            try_point(point, tally);
            if (has_enough(tally, stride))
                return;
        }
}

static void explore_stretch(const struct trial *stretch, struct stop_stride stride,
                            struct stop_tally *tally)
{
    struct trial point = *stretch;

    for (; !point.at_end && !has_enough(tally, stride); point.k += stride.n)
        if (stride.m > 0)
            try_parts(&point, stride, tally);
        else
            try_point(&point, tally);
}

/* The marks at which the stepped worker stops, in their order; the last is no beginning. */
static unsigned marks_of(const struct stop_scenario *scenario, enum rig_mark *marks)
{
    unsigned first = scenario->handed_back ? STOP_FIRST + 2 : 0, count = 0;
    unsigned last = scenario->endless   ? scenario->endless
                    : scenario->ends_at ? scenario->ends_at
                                        : STOP_FIRST + scenario->items;

    marks[count++] = RIG_READY;
    for (unsigned item = first; item <= last; item++)
        marks[count++] = RIG_ITEM + (enum rig_mark)item;
    marks[count] = RIG_NEVER;
    return count;
}

struct stop_tally stop_explore(const struct stop_scenario *scenario, struct stop_stride stride)
{
    struct stage *stage =
        mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    enum rig_mark marks[RIG_ITEMS + 2];
    unsigned stretches = marks_of(scenario, marks);
    struct stop_tally tally = { 0 };

    CHECK(stage != MAP_FAILED);
    for (unsigned i = 0; i < stretches; i++) {
        struct trial stretch = {
            .scenario = scenario,
            .tasks = step_scenario(scenario->tasks),
            .from = marks[i],
            .to = marks[i + 1],
            .in_parts = stride.m > 0,
            .stage = stage,
            .rig = &stage->rig,
        };

        if (stride.from == 0 || stride.from == marks[i])
            explore_stretch(&stretch, stride, &tally);
    }
    munmap(stage, sizeof *stage);
    printf(
        "%s%s: %u points, %u violations; %lu steps; %u items stopped, %u targets taken back; "
        "%u kills, %u of them hit nobody's item; %u waited at the flag\n",
        scenario->name, stride.m > 0 ? ", act in parts" : "", tally.points, tally.violations,
        tally.steps, tally.stopped, tally.withdrawn, tally.kills, tally.innocent,
        tally.waited);
    if (tally.violations)
        printf("%s\n", tally.first);
    fflush(stdout);
    return tally;
}
