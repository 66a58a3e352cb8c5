/* SPDX-License-Identifier: MIT */
/*
 * step.h - kills a worker after each of its instructions
 *
 * A worker is run by single steps, from a mark on (see rig.h), and killed after k
 * of them; then its death is judged, another worker does what is left, and every
 * record is looked at.  This is done for each k until the worker sleeps or ends.
 *
 * A path is cut into stretches at its marks: up to a mark the worker runs at full
 * speed, so that a path of n steps in m stretches costs n * n / 2m of them.
 *
 * Where that is too much: of a dead worker nothing is left but what it wrote into
 * shared memory, so that all points between two such writes are one and the same
 * to everybody else.  It is enough to try the first and the last of them.
 */
#ifndef TESTS_FAULT_STEP_H
#define TESTS_FAULT_STEP_H

#include "rig.h"

/* What befalls the worker after its last step. */
enum step_fate {
    STEP_KILLED,
    STEP_PAUSED, /* another worker runs meanwhile, as far as it can; then it goes on */
};

struct step_scenario {
    const char *name;
    const pp_task *task;
    unsigned items;
    uint64_t max_items;     /* of a worker */
    bool handed_back;       /* an earlier worker has died in item 1 */
    bool in_place;          /* results go to shared memory */
    bool same_seat;         /* and it sat where the next one sits */
    bool worked_before;     /* the worker has run another task */
    bool woken;             /* the worker slept, and so do another and the client */
    enum rig_mark marks[8]; /* where stretches begin, and the last ends */
    bool (*right)(const struct rig_outcome *outcome, unsigned item); /* if it did not crash */
};

struct step_tally {
    unsigned points, violations;
    unsigned charged;   /* deaths that cost an item */
    unsigned early;     /* of these, whose function had not been called */
    unsigned handed_on; /* deaths after which another worker had something to do */
    unsigned long steps;
    char first[300]; /* of the violations */
};

/* Tries every n-th point, and with n > 1 those next to a write, until it has found
   enough violations. */
struct step_tally step_explore(const struct step_scenario *scenario, enum step_fate fate,
                               unsigned n);

const struct step_scenario *step_scenario(const char *name);

#endif
