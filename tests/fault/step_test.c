/* SPDX-License-Identifier: MIT */
/*
 * A worker killed at any of its instructions costs at most the item that it ran.
 */
#include "step.h"
#include "trials.h"

/* Which points are tried besides those next to a write.  With TEST_THOROUGH=1 it is all
   of them, but for paths that would take hours; with sanitizers, whose paths are many
   times as long and not what is looked for here, hardly any. */
enum {
    EVERY_POINT = 1,
    EVERY_OTHER = 2,
    EVERY_FIFTH = 5,
    SPARSE = 40,
    LONG_PATH = 4096,
    THOROUGH_LONG = 61,
};

static void explore(const char *name, enum step_fate fate, unsigned n)
{
    struct step_tally tally;

    if (harness_on_valgrind())
        SKIP("the steps would be valgrind's");
    n = trials(n, n == LONG_PATH ? THOROUGH_LONG : EVERY_POINT);
    if (HARNESS_SANITIZED)
        n = 2 * LONG_PATH;
    tally = step_explore(step_scenario(name), fate, n);
    if (tally.violations)
        FAIL("%u of %u points violate an invariant: %s", tally.violations, tally.points,
             tally.first);
    CHECK(tally.points > 10);
    CHECK(tally.handed_on > 0);
}

TEST(single_call, .timeout = 120)
{
    explore("single call", STEP_KILLED, EVERY_OTHER);
}

TEST(chunk, .timeout = 300)
{
    explore("chunk", STEP_KILLED, SPARSE);
}

TEST(blocks, .timeout = 300)
{
    explore("blocks", STEP_KILLED, SPARSE);
}

TEST(in_place, .timeout = 300)
{
    explore("in place", STEP_KILLED, SPARSE);
}

TEST(raise_in_place, .timeout = 600)
{
    explore("raise in place", STEP_KILLED, SPARSE);
}

TEST(retiring_in_place, .timeout = 300)
{
    explore("retiring in place", STEP_KILLED, SPARSE);
}

TEST(void_result, .timeout = 300)
{
    explore("void", STEP_KILLED, SPARSE);
}

TEST(strings, .timeout = 300)
{
    explore("strings", STEP_KILLED, SPARSE);
}

TEST(raise, .timeout = 600)
{
    explore("raise", STEP_KILLED, SPARSE);
}

TEST(handed_back, .timeout = 300)
{
    explore("handed back", STEP_KILLED, SPARSE);
}

TEST(retiring, .timeout = 300)
{
    explore("retiring", STEP_KILLED, SPARSE);
}

/* Here instructions change more than memory: they wake others. */
TEST(woken, .timeout = 120)
{
    explore("woken", STEP_KILLED, EVERY_FIFTH);
}

TEST(second_task, .timeout = 300)
{
    explore("second task", STEP_KILLED, SPARSE);
}

TEST(start, .timeout = 600)
{
    explore("start", STEP_KILLED, LONG_PATH);
}

/* What a stopped worker has read counts as much as what it wrote. */
TEST(paused, .timeout = 120)
{
    explore("single call", STEP_PAUSED, EVERY_FIFTH);
}

TEST(paused_when_handed_back, .timeout = 120)
{
    explore("handed back", STEP_PAUSED, EVERY_FIFTH);
}
