/* SPDX-License-Identifier: MIT */
/* When the supervisor gives up. */
#include "supervisor/limit.h"

#include "base/clock.h"
#include "harness.h"
#include "rounds.h"

#define START (1000 * PPI_SECOND)

static struct ppi_limit limit;

/* How many deaths are allowed that follow each other at this interval, at most 5000. */
static unsigned deaths_allowed(unsigned workers, uint64_t interval_ns, bool was_ready)
{
    unsigned count = 0;

    ppi_limit_init(&limit, workers);
    while (count < 5000 && ppi_limit_allows(&limit, START + count * interval_ns, was_ready))
        count++;
    return count;
}

TEST(so_many_in_ten_seconds)
{
    CHECK_EQ(deaths_allowed(1, 0, true), 8);
    CHECK_EQ(deaths_allowed(4, 0, true), 8);
    CHECK_EQ(deaths_allowed(5, 0, true), 10);
    CHECK_EQ(deaths_allowed(100, 0, true), 200);
    CHECK_EQ(deaths_allowed(PPI_MAX_WORKERS, 0, true), 2 * PPI_MAX_WORKERS);
}

TEST(the_seconds_count)
{
    CHECK_EQ(deaths_allowed(1, 10 * PPI_SECOND / 8, true), 8);
    CHECK_EQ(deaths_allowed(1, 10 * PPI_SECOND / 8 + 1, true), 5000);
    CHECK_EQ(deaths_allowed(8, PPI_SECOND, true), 5000);
    CHECK_EQ(deaths_allowed(8, PPI_SECOND / 2, true), 16);
}

TEST(three_in_a_row_before_they_are_ready)
{
    CHECK_EQ(deaths_allowed(1, PPI_SECOND, false), 2);
    CHECK_EQ(deaths_allowed(1000, 100 * PPI_SECOND, false), 2);
}

TEST(one_that_was_ready_ends_a_row)
{
    ppi_limit_init(&limit, 100);
    for (int i = 0; i < 20; i++) {
        CHECK(ppi_limit_allows(&limit, START, false));
        CHECK(ppi_limit_allows(&limit, START, false));
        CHECK(ppi_limit_allows(&limit, START, true));
    }
}

TEST(success_ends_a_row)
{
    ppi_limit_init(&limit, 100);
    for (int i = 0; i < 20; i++) {
        CHECK(ppi_limit_allows(&limit, START, false));
        CHECK(ppi_limit_allows(&limit, START, false));
        ppi_limit_relax(&limit);
    }
    CHECK(ppi_limit_allows(&limit, START, false));
    CHECK(ppi_limit_allows(&limit, START, false));
    CHECK(!ppi_limit_allows(&limit, START, false));
}

/* What is allowed is what a count of the last ten seconds allows. */
TEST(any_series_of_deaths)
{
    enum { DEATHS = 300 };

    FOR_ROUNDS(random, 300) {
        unsigned workers = 1 + random_below(&random, 40);
        unsigned most = workers > 4 ? 2 * workers : 8;
        uint64_t times[DEATHS], now = START;
        bool allowed = true;

        ppi_limit_init(&limit, workers);
        for (unsigned death = 0; death < DEATHS && allowed; death++) {
            unsigned recent = 1;

            now += random_next(&random) % (15 * PPI_SECOND / most);
            times[death] = now;
            for (unsigned i = 0; i < death; i++)
                recent += now - times[i] <= 10 * PPI_SECOND;
            allowed = recent <= most;
            HOLDS(random, ppi_limit_allows(&limit, now, true) == allowed);
        }
    }
}

/* ---- Pools that are resized ----------------------------------------------- */

static unsigned deaths_until_refused(uint64_t now_ns)
{
    unsigned count = 0;

    while (count < 5000 && ppi_limit_allows(&limit, now_ns, true))
        count++;
    return count;
}

TEST(more_workers_may_die_more_often)
{
    ppi_limit_init(&limit, 1);
    CHECK_EQ(deaths_until_refused(START), 8);
    ppi_limit_init(&limit, 1);
    for (int i = 0; i < 8; i++)
        CHECK(ppi_limit_allows(&limit, START, true));
    ppi_limit_resize(&limit, 16, START);
    CHECK_EQ(deaths_until_refused(START), 32 - 8);
}

/* What was allowed when there were more is not held against those that are left ... */
TEST(fewer_workers_inherit_the_deaths)
{
    ppi_limit_init(&limit, 16);
    for (int i = 0; i < 20; i++)
        CHECK(ppi_limit_allows(&limit, START, true));
    ppi_limit_resize(&limit, 1, START + PPI_SECOND);
    CHECK_EQ(deaths_until_refused(START + PPI_SECOND), 32 - 20);
}

/* ... but no longer than the deaths count. */
TEST(the_former_limit_ends)
{
    ppi_limit_init(&limit, 16);
    ppi_limit_resize(&limit, 8, START);
    ppi_limit_resize(&limit, 1, START + PPI_SECOND);
    CHECK_EQ(deaths_until_refused(START + 12 * PPI_SECOND), 8);
    ppi_limit_init(&limit, 16);
    for (int i = 0; i < 1000; i++) /* also when it is resized again and again */
        ppi_limit_resize(&limit, 1 + (unsigned)i % 16, START);
    CHECK_EQ(deaths_until_refused(START + 9 * PPI_SECOND), 32);
}
