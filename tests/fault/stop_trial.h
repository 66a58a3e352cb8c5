/* SPDX-License-Identifier: MIT */
/* stop_trial.h - one point of stop_step.h's race, and the verdict on it */
#ifndef TESTS_FAULT_STOP_TRIAL_H
#define TESTS_FAULT_STOP_TRIAL_H

#include "step.h"
#include "stop_step.h"

enum { VICTIM, HELPER, PREDECESSOR }; /* seats */

/* What the act changes, wherever it is done. */
struct stage {
    struct rig rig;
    bool withdrawn;
};

/* How far the worker goes while the act pauses.  LATE_SIGNAL: some steps, and SIGTERM,
   which is on its way from another processor, reaches it when it asks the kernel for
   anything, and no sooner. */
enum release { AS_FAR_AS_IT_CAN, TO_NEXT_MARK, SOME_STEPS, LATE_SIGNAL, RELEASES };

struct trial {
    const struct stop_scenario *scenario;
    const struct step_scenario *tasks;
    enum rig_mark from, to; /* the stretch */
    unsigned k, j;
    bool in_parts; /* the act */
    bool at_end;   /* the stretch has fewer than k instructions */
    bool act_over; /* the act has fewer than j */
    enum release release;

    struct stage *stage;
    struct rig *rig; /* the stage's */
    uint64_t target; /* its position */
    pid_t victim, predecessor;
    int status; /* the victim's last */
    bool dead;  /* it is */
    bool late;  /* its signals are; one is held back */
    bool held;
    bool cost, waited;
    uint64_t born_ns;         /* not after the victim */
    bool begun;               /* an item with a limit, when the act was done */
    unsigned stopped, raised; /* items of the target */
    unsigned seen_alarms;
    unsigned long steps;
    char violation[200];
};

/* Notes the first violation. */
__attribute__((format(printf, 2, 3))) void violated(struct trial *trial, const char *format,
                                                    ...);

/* When nobody is left. */
void check_trial(struct trial *trial);

static inline unsigned target_end(const struct trial *trial)
{
    return STOP_FIRST + trial->scenario->items;
}

static inline bool is_target(const struct trial *trial, unsigned item)
{
    return item >= STOP_FIRST && item < target_end(trial);
}

static inline bool is_to_stop(const struct trial *trial, unsigned seat)
{
    uint32_t word = atomic_load(&trial->rig->queue->control->seats[seat].stop);

    return (word & PPI_STOP_BITS) != PPI_STOP_OFF;
}

#endif
