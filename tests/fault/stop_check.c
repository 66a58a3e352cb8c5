/* SPDX-License-Identifier: MIT */
/* What must hold whatever the point was. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "stop_trial.h"

void violated(struct trial *trial, const char *format, ...)
{
    va_list arguments;

    if (*trial->violation)
        return;
    va_start(arguments, format);
    vsnprintf(trial->violation, sizeof trial->violation, format, arguments);
    va_end(arguments);
}

static enum ppi_outcome kind_of_stop(const struct trial *trial)
{
    return trial->scenario->act == STOP_LIMIT ? PPI_TIMEOUT : PPI_CANCEL;
}

static bool is_stopped(const struct trial *trial, unsigned item)
{
    return is_target(trial, item) && trial->rig->outcomes[item].times > 0 &&
           trial->rig->outcomes[item].kind == kind_of_stop(trial);
}

/* An item that was not stopped is as if there had been no stop. */
static void check_whole(struct trial *trial, unsigned item)
{
    const struct rig_outcome *outcome = &trial->rig->outcomes[item];
    bool predecessors = trial->scenario->handed_back && item == STOP_FIRST + 1;

    if (predecessors && outcome->kind == PPI_CRASH && outcome->pid == trial->predecessor)
        return;
    if (trial->scenario->raises && is_target(trial, item) && outcome->kind == PPI_RAISE &&
        outcome->code == STOP_RAISED) {
        trial->raised++; /* that may have been just before the first line of the function */
        return;
    }
    if (!trial->tasks->right(outcome, item))
        violated(trial, "item %u has outcome %d of seat %u, or a wrong value", item,
                 outcome->kind, outcome->seat);
    if (atomic_load(&trial->rig->shared->runs[item]) != 1)
        violated(trial, "item %u has an outcome, and ran %u times", item,
                 atomic_load(&trial->rig->shared->runs[item]));
}

static void check_item(struct trial *trial, unsigned item)
{
    const struct rig_outcome *outcome = &trial->rig->outcomes[item];
    unsigned runs = atomic_load(&trial->rig->shared->runs[item]);
    bool gone = trial->stage->withdrawn && is_target(trial, item);

    if (gone && trial->scenario->handed_back && item <= STOP_FIRST + 1)
        gone = false; /* the predecessor's */
    if (outcome->times != !gone)
        violated(trial, "item %u has %u outcomes", item, outcome->times);
    if (runs > !gone)
        violated(trial, "item %u has run %u times", item, runs);
    if (!gone && outcome->times > 0 && !is_stopped(trial, item))
        check_whole(trial, item);
}

/* At most one item that ran was stopped, and a cancelled task ends with that. */
static void check_stopped(struct trial *trial)
{
    const struct stop_scenario *scenario = trial->scenario;
    unsigned ran = 0;

    for (unsigned item = STOP_FIRST; item < target_end(trial); item++) {
        bool stopped = is_stopped(trial, item);

        trial->stopped += stopped;
        ran += stopped && atomic_load(&trial->rig->shared->runs[item]) > 0;
        if (scenario->act != STOP_LIMIT && trial->stopped > 0 && !stopped)
            violated(trial, "item %u is not cancelled, and one before it is", item);
    }
    if (scenario->act == STOP_LIMIT && !scenario->endless && trial->stopped > 1)
        violated(trial, "one limit has stopped %u items", trial->stopped);
    if (scenario->act == STOP_LIMIT && !scenario->endless && trial->stopped > 0 &&
        !trial->in_parts && !trial->begun)
        violated(trial, "an item is said to have been too slow that had not begun");
    if (scenario->act != STOP_LIMIT && ran > 1)
        violated(trial, "%u items that ran are cancelled", ran);
    if (scenario->act == STOP_SOON && ran > 0)
        violated(trial, "an item that ran is cancelled, and nobody wanted that");
    if (scenario->act == STOP_WITHDRAW && trial->stopped > 0)
        violated(trial, "%u items are cancelled, and nobody wanted that", trial->stopped);
    if (scenario->endless && !is_stopped(trial, scenario->endless))
        violated(trial, "the endless item was not stopped");
}

/* Where the worker stood in the function of an item when the act was done, that is hit. */
static void check_hit(struct trial *trial)
{
    const struct stop_scenario *scenario = trial->scenario;
    unsigned item = (unsigned)(trial->from - RIG_ITEM);

    if (trial->in_parts || trial->k > 0 || trial->from < RIG_ITEM || !is_target(trial, item))
        return;
    if (scenario->act != STOP_CANCEL && (scenario->act != STOP_LIMIT || !scenario->limited))
        return;
    if (trial->raised + is_stopped(trial, item) != 1 &&
        !(scenario->on_term && !trial->scenario->raises))
        violated(trial, "item %u was running and is not stopped", item);
}

static void check_end(struct trial *trial)
{
    const struct rig *rig = trial->rig;
    bool may_die = trial->scenario->act == STOP_CANCEL || trial->scenario->act == STOP_LIMIT;

    if (rig->nonsense)
        violated(trial, "a record is nonsense: %s", rig->nonsense);
    if (trial->status != 0 && !may_die)
        violated(trial, "the worker ended with status 0x%x", (unsigned)trial->status);
    if (trial->status != 0 && trial->status != SIGKILL &&
        (trial->status != SIGTERM || !trial->scenario->grace_ms || trial->scenario->on_term))
        violated(trial, "the worker ended with status 0x%x", (unsigned)trial->status);
    if (trial->cost && (trial->status == 0 || trial->stopped == 0))
        violated(trial, "the worker's end with status 0x%x cost an item, and %u were stopped",
                 (unsigned)trial->status, trial->stopped);
    if (atomic_load(&rig->shared->signals) > 1 &&
        !(trial->scenario->act == STOP_LIMIT && (trial->scenario->endless || trial->in_parts)))
        violated(trial, "SIGTERM was sent %u times", atomic_load(&rig->shared->signals));
    if (rig->deaths[VICTIM] != 1U + trial->scenario->same_seat)
        violated(trial, "%u records of its death", rig->deaths[VICTIM]);
    for (unsigned seat = 0; seat < RIG_SEATS; seat++)
        if (is_to_stop(trial, seat))
            violated(trial, "seat %u is still to be stopped", seat);
    if (rig->queue->claims->sleepers[0])
        violated(trial, "all have ended, and somebody is said to sleep");
}

void check_trial(struct trial *trial)
{
    for (unsigned item = 0; item <= target_end(trial); item++)
        check_item(trial, item);
    check_stopped(trial);
    check_hit(trial);
    check_end(trial);
}
