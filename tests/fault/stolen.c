/* SPDX-License-Identifier: MIT */
#include "stolen.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "trials.h"

enum { FIRST, SECOND }; /* seats */

enum { MOST_US = 60, ENOUGH = 5 };

static long number(long item)
{
    rig_called(item);
    return item + 41;
}
PP_TASK(long, number, long, item);

static bool has_outcome(struct rig *rig)
{
    rig_drain(rig);
    return rig->outcomes[0].times > 0;
}

static bool ends_within(struct rig *rig, double seconds)
{
    double end = harness_now() + seconds;

    while (!has_outcome(rig)) {
        if (harness_now() > end)
            return false;
        sched_yield();
    }
    return true;
}

static int end_worker(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

/* What is known when the worker is dead, and not judged yet. */
static bool is_stolen(const struct rig *rig, unsigned other, pid_t pid)
{
    uint64_t word = rig->queue->claims->words[rig->position % PPI_WINDOW];

    return word == ppi_claim_word(rig->position, PPI_QUEUED, 0) && rig_sleeps(rig, other, pid);
}

static void judge(struct rig *rig, struct stolen_tally *tally)
{
    const struct rig_outcome *outcome = &rig->outcomes[0];
    bool crashed = outcome->kind == PPI_CRASH;

    tally->crashed += crashed;
    if (outcome->times != 1 || rig->nonsense || atomic_load(&rig->shared->runs[0]) > 1 ||
        (!crashed && outcome->value.number != 41))
        tally->wrong++;
}

static void try_once(struct stolen_tally *tally, double patience_s)
{
    static struct rig rig; /* large */
    unsigned victim = random() % 4 == 0 ? SECOND : FIRST, other = 1 - victim;
    pid_t pids[2];
    int status;

    rig_open(&rig);
    pids[FIRST] = rig_spawn(&rig, FIRST, RIG_NOWHERE);
    rig_await_sleep(&rig, FIRST, pids[FIRST]); /* woken first, having slept first */
    pids[SECOND] = rig_spawn(&rig, SECOND, RIG_NOWHERE);
    rig_await_sleep(&rig, SECOND, pids[SECOND]);

    rig_submit(&rig, &number_pp_task, 0, 1);
    pass_time((unsigned long)random() % (random() % 4 ? MOST_US : 4 * MOST_US));
    status = end_worker(pids[victim]);
    tally->stolen += is_stolen(&rig, other, pids[other]);
    rig_reap(&rig, victim, status);
    if (!ends_within(&rig, patience_s)) {
        tally->stuck++;
        ppi_wake_all(rig.queue);
        tally->rescued += ends_within(&rig, 10 * harness_time_factor());
    }
    end_worker(pids[other]);
    judge(&rig, tally);
    rig_close(&rig);
}

struct stolen_tally stolen_wakes(unsigned trials, double patience_s)
{
    struct stolen_tally tally = { 0 };

    srandom(3);
    for (; tally.trials < trials && tally.stuck < ENOUGH; tally.trials++)
        try_once(&tally, patience_s);
    printf("%u trials: the wake-up was lost with the worker in %u, %u crashed, %u stuck, of "
           "which %u ran when all were woken, %u wrong\n",
           tally.trials, tally.stolen, tally.crashed, tally.stuck, tally.rescued, tally.wrong);
    fflush(stdout);
    return tally;
}
