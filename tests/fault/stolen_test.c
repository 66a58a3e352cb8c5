/* SPDX-License-Identifier: MIT */
#include "stolen.h"
#include "trials.h"

TEST(no_task_is_left_behind, .timeout = 600)
{
    unsigned times = trials(HARNESS_SANITIZED ? 400 : 2000, 20000);
    struct stolen_tally tally = stolen_wakes(times, 2 * harness_time_factor());

    CHECK_EQ(tally.stuck, 0);
    CHECK_EQ(tally.wrong, 0);
}
