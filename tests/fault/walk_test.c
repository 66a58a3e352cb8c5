/* SPDX-License-Identifier: MIT */
/*
 * Whoever is killed or stopped at whatever point of its path: what was promised holds.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "tracee.h"
#include "trials.h"
#include "walk.h"

enum { DEATH = 1U << WALK_KILLED, ALL_ELSE = (1U << WALK_EVENTS) - 1 - DEATH };

static bool is_wanted(const struct walk_scenario *scenario, enum walk_party party,
                      enum walk_event event, unsigned events)
{
    const char *only = getenv("TEST_WALK");
    unsigned has = scenario->events | DEATH;

    return scenario->party == party && (!only || strcmp(only, scenario->name) == 0) &&
           (has & events & 1U << event) && (!scenario->large || trials(0, 1));
}

/* Forking a large client takes so long that stopping is not tried at all points. */
enum { MOST_OF_LARGE = 50 };

static struct walk_tally walk_one(const struct walk_scenario *scenario, enum walk_event event,
                                  struct walk_manner manner)
{
    if (scenario->large && event != WALK_KILLED && manner.most > MOST_OF_LARGE)
        manner.most = MOST_OF_LARGE;
    return walk(scenario, event, manner);
}

/* Each path, some points of each. */
static void walk_all(enum walk_party party, unsigned events, unsigned some)
{
    struct walk_manner manner = { .most = trials(HARNESS_SANITIZED ? 1 : some, UINT_MAX),
                                  .patience_s = 20,
                                  .enough = 3 };
    unsigned points = 0, runs = 0, violations = 0;

    if (!tracee_possible())
        SKIP("no process can be followed here");
    for (unsigned i = 0; i < walk_count; i++)
        for (enum walk_event event = 0; event < WALK_EVENTS; event++) {
            struct walk_tally tally = { 0 };

            if (is_wanted(&walk_scenarios[i], party, event, events))
                tally = walk_one(&walk_scenarios[i], event, manner);
            points += tally.points;
            runs += tally.runs;
            violations += tally.violations;
        }
    printf("all: %u points, %u runs, %u violations\n", points, runs, violations);
    if (violations)
        FAIL("%u runs violate an invariant", violations);
}

TEST(client_killed, .timeout = 600)
{
    walk_all(WALK_CLIENT, DEATH, 6);
}

TEST(supervisor_killed, .timeout = 600)
{
    walk_all(WALK_SUPERVISOR, DEATH, 6);
}

TEST(worker_killed, .timeout = 600)
{
    walk_all(WALK_WORKER, DEATH, 6);
}

TEST(client_stopped, .timeout = 1200)
{
    walk_all(WALK_CLIENT, ALL_ELSE, 1);
}

TEST(supervisor_stopped, .timeout = 1200)
{
    walk_all(WALK_SUPERVISOR, ALL_ELSE, 1);
}

TEST(worker_stopped, .timeout = 1200)
{
    walk_all(WALK_WORKER, ALL_ELSE, 1);
}
