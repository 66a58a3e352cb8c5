/* SPDX-License-Identifier: MIT */
/*
 * Whoever is killed or stopped at whatever point of its path: what was promised holds.
 */
#include <stdlib.h>

#include "harness.h"
#include "tracee.h"
#include "trials.h"
#include "walk.h"

static void walk_all(enum walk_party party, unsigned long events, unsigned n)
{
    unsigned violations = 0;
    const char *only = getenv("TEST_WALK");

    if (!tracee_possible())
        SKIP("no process can be followed here");
    for (unsigned i = 0; i < walk_count; i++)
        for (enum walk_event event = 0; event < WALK_EVENTS; event++) {
            const struct walk_scenario *scenario = &walk_scenarios[i];
            struct walk_tally tally;

            if (scenario->party != party || (only && strcmp(only, scenario->name) != 0) ||
                !(events & (scenario->events | 1U << WALK_KILLED) & 1U << event))
                continue;
            tally = walk(scenario, event, trials(n, 1));
            violations += tally.violations;
        }
    if (violations)
        FAIL("%u points violate an invariant", violations);
}

enum { DEATH = 1U << WALK_KILLED, ALL_ELSE = (1U << WALK_EVENTS) - 1 - DEATH };

TEST(client_killed, .timeout = 600)
{
    walk_all(WALK_CLIENT, DEATH, 8);
}

TEST(supervisor_killed, .timeout = 600)
{
    walk_all(WALK_SUPERVISOR, DEATH, 8);
}

TEST(worker_killed, .timeout = 600)
{
    walk_all(WALK_WORKER, DEATH, 8);
}

TEST(client_stopped, .timeout = 600)
{
    walk_all(WALK_CLIENT, ALL_ELSE, 100);
}

TEST(supervisor_stopped, .timeout = 600)
{
    walk_all(WALK_SUPERVISOR, ALL_ELSE, 100);
}

TEST(worker_stopped, .timeout = 600)
{
    walk_all(WALK_WORKER, ALL_ELSE, 100);
}
