/* SPDX-License-Identifier: MIT */
/*
 * The test of the step test: this program is linked with a library in which one
 * thing is wrong on purpose, and the points at which that shows must be found.
 */
#include "step.h"

TEST(a_violation_is_found, .timeout = 120)
{
    struct step_tally tally;

    if (harness_on_valgrind())
        SKIP("the steps would be valgrind's");
    tally = step_explore(step_scenario("chunk"), STEP_KILLED, 5);
    CHECK(tally.violations > 0);
}
