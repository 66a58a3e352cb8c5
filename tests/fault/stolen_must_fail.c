/* SPDX-License-Identifier: MIT */
/*
 * The test of the test: this program is linked with a reap that wakes nobody, and
 * tasks that are left behind must be seen.  That is a matter of chance: the machine
 * decides how often it comes to it.
 */
#include "stolen.h"

TEST(tasks_are_left_behind, .timeout = 600)
{
    struct stolen_tally tally = stolen_wakes(20000, 0.1 * harness_time_factor());

    CHECK(tally.stuck > 0);
    CHECK_EQ(tally.rescued, tally.stuck);
    CHECK_EQ(tally.wrong, 0);
}
