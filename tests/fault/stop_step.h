/* SPDX-License-Identifier: MIT */
/*
 * stop_step.h - the race between a stop and the worker, point by point
 *
 * A worker has three tasks: one before the target, the target, and one after it.  After
 * k of its instructions from a mark (see rig.h) somebody acts: the target is cancelled,
 * taken back, or an item's time limit is over, and the supervisor looks.  Then all goes
 * on, with the test as the supervisor: it looks when it is alarmed or when it is time,
 * judges the dead, and lets another worker do what is left.  Whatever the point was, the
 * target is the only one that may be hit.
 *
 * That is the race with an act in one piece.  With both: the act is that of a process
 * of its own, which stops after j instructions; the worker goes on for a while, and only
 * then comes the rest of the act.
 */
#ifndef TESTS_FAULT_STOP_STEP_H
#define TESTS_FAULT_STOP_STEP_H

#include "rig.h"

enum stop_act {
    STOP_CANCEL,   /* PPI_NOW */
    STOP_SOON,     /* PPI_SOON */
    STOP_LIMIT,    /* the limit of whatever item of the target runs is over */
    STOP_WITHDRAW, /* by the client; if it comes too late nothing else is done */
};

/* Items: 0 is the task's before the target, and the last the task's after it. */
enum { STOP_FIRST = 1, STOP_HOUR = 3600 * 1000, STOP_RAISED = 4711 };

struct stop_scenario {
    const char *name;
    enum stop_act act;
    const char *tasks;    /* the name of a scenario of step.h, whose task all three are */
    unsigned items;       /* of the target */
    bool limited;         /* with a time limit for each item, of all tasks */
    unsigned endless;     /* this item of the target does not return; 0: all do */
    uint32_t grace_ms;    /* of all tasks; STOP_HOUR: it does not end */
    void (*on_term)(int); /* the workers' handler of SIGTERM ... */
    bool raises;          /* ... calls pp_raise() with STOP_RAISED */
    uint64_t max_items;   /* of the stepped worker */
    bool handed_back;     /* an earlier worker has died in the target's second item, */
    bool same_seat;       /* and it sat where the stepped one sits */
    unsigned ends_at;     /* the last item that the stepped worker comes to; 0: the last */
};

struct stop_tally {
    unsigned points, violations;
    unsigned kills;     /* the stepped worker was */
    unsigned innocent;  /* of these: it cost no item */
    unsigned stopped;   /* items that were */
    unsigned withdrawn; /* targets */
    unsigned waited;    /* the worker slept at the flag when the act went on */
    unsigned long steps;
    char first[300]; /* of the violations */
};

/* How the points are chosen. */
struct stop_stride {
    unsigned n;         /* every n-th of the worker's */
    unsigned m;         /* every m-th of the act's; 0: the act is done in one piece */
    unsigned enough;    /* violations; 0: a few */
    enum rig_mark from; /* from this mark to the next; 0: from all */
};

struct stop_tally stop_explore(const struct stop_scenario *scenario,
                               struct stop_stride stride);

/* In programs whose library is broken: where that shows. */
struct stop_broken {
    const char *scenario;
    struct stop_stride stride;
};
extern const struct stop_broken stop_broken;

const struct stop_scenario *stop_scenario(const char *name);

#endif
