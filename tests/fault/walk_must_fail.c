/* SPDX-License-Identifier: MIT */
/*
 * The test of the walk: this program is linked with a library in which one thing is wrong
 * on purpose, and the points at which that shows must be found.
 */
#include "harness.h"
#include "tracee.h"
#include "walk.h"

TEST(a_violation_is_found, .timeout = 600)
{
    struct walk_manner manner = { .most = walk_broken.most, .patience_s = 2, .enough = 1 };

    if (!tracee_possible())
        SKIP("no process can be followed here");
    CHECK(walk(walk_scenario(walk_broken.scenario), walk_broken.event, manner).violations > 0);
}
