/* SPDX-License-Identifier: MIT */
/*
 * Whatever a worker is doing when a task is stopped, that task is hit, and no other.
 */
#include "stop_step.h"
#include "trials.h"

/* Every so many instructions of the worker, and of the act.  With TEST_THOROUGH=1 it is
   every one, but where both are stepped: that would take days. */
enum { SOME = 227, ALL = 1, PARTS = 1409, MORE_PARTS = 199, OF_ACT = 331, MORE_OF_ACT = 29 };

static void explore(const char *name, struct stop_stride stride)
{
    const struct stop_scenario *scenario = stop_scenario(name);
    struct stop_tally tally;

    if (harness_on_valgrind())
        SKIP("the steps would be valgrind's");
    if (HARNESS_SANITIZED)
        SKIP("most steps would be the sanitizer's, and take many minutes");
    tally = stop_explore(scenario, stride);
    if (tally.violations)
        FAIL("%u of %u points violate an invariant: %s", tally.violations, tally.points,
             tally.first);
    CHECK(tally.points >= 4);
    if (scenario->act == STOP_WITHDRAW)
        CHECK(tally.withdrawn > 0 && tally.withdrawn < tally.points);
    else if (scenario->act == STOP_LIMIT && !scenario->limited)
        CHECK_EQ(tally.kills + tally.stopped, 0);
    else if (!scenario->on_term || scenario->act != STOP_LIMIT || scenario->endless)
        CHECK(tally.stopped > 0);
}

static void in_one_piece(const char *name)
{
    explore(name, (struct stop_stride){ .n = trials(SOME, ALL) });
}

static void in_parts(const char *name)
{
    explore(name, (struct stop_stride){ .n = trials(PARTS, MORE_PARTS),
                                        .m = trials(OF_ACT, MORE_OF_ACT) });
}

TEST(cancelled, .timeout = 600)
{
    in_one_piece("cancel a call");
    in_one_piece("cancel a string");
    in_one_piece("cancel a chunk");
    in_one_piece("cancel limited blocks");
    in_one_piece("cancel strings");
    in_one_piece("cancel what raises");
}

TEST(cancelled_endless, .timeout = 300)
{
    in_one_piece("cancel an endless call");
    in_one_piece("cancel an endless item");
}

TEST(cancelled_around_the_worker, .timeout = 300)
{
    in_one_piece("cancel what was handed back");
    in_one_piece("cancel where a worker retires");
}

TEST(cancelled_soon, .timeout = 300)
{
    in_one_piece("cancel a call soon");
    in_one_piece("cancel a chunk soon");
    in_one_piece("cancel strings soon");
}

TEST(at_the_limit, .timeout = 600)
{
    in_one_piece("limit of a call");
    in_one_piece("limit in a chunk");
    in_one_piece("limit in blocks");
    in_one_piece("limit in strings");
    in_one_piece("limit of what raises");
    in_one_piece("limit of an endless item");
    in_one_piece("no limit");
}

TEST(at_the_limit_around_the_worker, .timeout = 300)
{
    in_one_piece("limit where a worker retires");
    in_one_piece("limit on the seat of the dead");
}

TEST(with_grace, .timeout = 300)
{
    in_one_piece("grace, cancel a chunk");
    in_one_piece("grace, limit in strings");
}

TEST(with_grace_that_is_used, .timeout = 600)
{
    in_one_piece("grace, cancel, handled");
    in_one_piece("grace, cancel, limited, handled");
    in_one_piece("grace, limit, handled");
    in_one_piece("grace, cancel, raises");
    in_one_piece("grace, limit, raises");
    in_one_piece("grace, limit of strings, raises");
}

TEST(with_grace_that_is_ignored, .timeout = 300)
{
    in_one_piece("grace, cancel, ignored");
    in_one_piece("grace, limit, ignored");
}

TEST(taken_back, .timeout = 300)
{
    in_one_piece("take back a call");
    in_one_piece("take back what was handed back");
}

TEST(cancelled_in_parts, .timeout = 900)
{
    in_parts("cancel a call");
    in_parts("cancel limited blocks");
}

TEST(at_the_limit_in_parts, .timeout = 900)
{
    in_parts("limit in a chunk");
    in_parts("limit in strings");
}

TEST(with_grace_in_parts, .timeout = 900)
{
    in_parts("grace, cancel a chunk");
    in_parts("grace, limit in strings");
    in_parts("grace, limit, raises");
}

TEST(taken_back_in_parts, .timeout = 300)
{
    /* From where the worker claims it next: the act is short. */
    explore("take back a call",
            (struct stop_stride){ .n = trials(PARTS, 11), .m = 1, .from = RIG_ITEM });
}
