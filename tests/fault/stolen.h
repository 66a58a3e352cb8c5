/* SPDX-License-Identifier: MIT */
/*
 * stolen.h - a worker that is killed takes its wake-up with it
 *
 * Two workers sleep, one task comes and one wake-up with it, and mostly up to 60 us later
 * one of the two is killed: mostly the one that is woken, on its way to the task.
 * No other takes its place.  The task must be run all the same, or have crashed.
 */
#ifndef TESTS_FAULT_STOLEN_H
#define TESTS_FAULT_STOLEN_H

#include "rig.h"

struct stolen_tally {
    unsigned trials;
    unsigned stolen; /* the dead had been woken and the task was still to be had */
    unsigned crashed;
    unsigned stuck;   /* the task was there, and the other worker went on sleeping */
    unsigned rescued; /* of these: run when everybody was woken in the end */
    unsigned wrong;   /* anything else than one right outcome */
};

/* So many trials, unless a few tasks are stuck before: they have no outcome after
   patience_s. */
struct stolen_tally stolen_wakes(unsigned trials, double patience_s);

#endif
