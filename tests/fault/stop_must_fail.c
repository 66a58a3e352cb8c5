/* SPDX-License-Identifier: MIT */
/*
 * The test of the test: this program is linked with a library in which one thing is
 * wrong on purpose, and the points at which that shows must be found.
 */
#include "stop_step.h"

TEST(a_violation_is_found, .timeout = 300)
{
    struct stop_tally tally;

    if (harness_on_valgrind())
        SKIP("the steps would be valgrind's");
    if (HARNESS_SANITIZED)
        SKIP("the paths are too long");
    tally = stop_explore(stop_scenario(stop_broken.scenario), stop_broken.stride);
    CHECK(tally.violations > 0);
}
