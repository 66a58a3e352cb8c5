/* SPDX-License-Identifier: MIT */
/*
 * The test of the test: this program is linked with a reap that wakes nobody, and
 * tasks that are left behind must be seen.  That is a matter of chance: the machine
 * decides how often it comes to it.
 */
#include "stolen.h"

enum { ENOUGH = 3, AT_A_TIME = 50, MOST = 20000 };

TEST(tasks_are_left_behind, .timeout = 600)
{
    struct stolen_tally sum = { 0 };

    while (sum.stuck < ENOUGH && sum.trials < MOST) {
        struct stolen_tally tally = stolen_wakes(AT_A_TIME, 0.05 * harness_time_factor());

        sum.trials += tally.trials;
        sum.stuck += tally.stuck;
        sum.rescued += tally.rescued;
        CHECK_EQ(tally.wrong, 0);
    }
    CHECK(sum.stuck > 0);
    CHECK_EQ(sum.rescued, sum.stuck);
}
