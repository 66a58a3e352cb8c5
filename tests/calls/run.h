/* SPDX-License-Identifier: MIT */
/* run.h - a scenario played once, with one order, in processes of its own */
#ifndef TESTS_CALLS_RUN_H
#define TESTS_CALLS_RUN_H

#include "engine.h"
#include "play.h"

struct run {
    const struct scenario *scenario;
    pp_start start;
    struct order order;
    struct engine *engine; /* what is left of it when it has ended */
    pid_t keeper;
};

/* Begins a run: forks its keeper, which ends when all is over and looked at. */
void run_begin(struct run *run);

/* Whether what the run says of itself is in order; otherwise why has it. */
bool run_is_right(const struct run *run, const char **why);

#endif
