/* SPDX-License-Identifier: MIT */
/*
 * engine.h - a whole pool whose processes are coroutines, see steps.h
 *
 * Client, workers and the reap are the library's own code.  What is written out
 * here is what only real processes can do: fork, die, be waited for, be poked.
 */
#ifndef TESTS_UNIT_ENGINE_H
#define TESTS_UNIT_ENGINE_H

#include <procpool.h>

#include "rounds.h"

struct engine_options {
    unsigned workers;
    unsigned most; /* that pp_pool_resize() may ask for; 0: no more than there are */
    unsigned spare_seats;
    unsigned deaths; /* of workers, at any step */
    bool vandals;    /* who write nonsense to the claims before they die */
    uint64_t max_items;
    pp_callbacks callbacks;
    uint64_t first_position;
};

/* Runs a schedule in which client() uses the pool.  Whether all processes came to
   their end; otherwise somebody sleeps for ever. */
bool engine_run(struct random *random, const struct engine_options *options,
                void (*client)(pp_pool *pool));

/* In the client, which has taken in all records: until there are no more workers than this. */
void engine_await_workers(unsigned most);

/* How many workers were killed in this schedule, and how many of these deaths cost
   an item. */
unsigned engine_deaths(void);
unsigned engine_costs(void);

/* Whether an item was lost to a death in which no task had begun. */
bool engine_unjust(void);

/* Whether the client found nonsense in some seat. */
bool engine_condemned(void);

#endif
