/* SPDX-License-Identifier: MIT */
/* What a pool's size comes to, and what is known of the sizes that it had. */
#include <stdlib.h>

#include "base/clock.h"
#include "client/client.h"
#include "harness.h"
#include "rounds.h"

static void check_size(int processes, int max_processes, unsigned cpus, unsigned workers,
                       unsigned most)
{
    pp_pool_options options = { .processes = processes, .max_processes = max_processes };
    struct ppi_size size = ppi_size_of(&options, cpus);

    CHECK_EQ(size.workers, workers);
    CHECK_EQ(size.most, most);
    CHECK(size.seats >= size.most + 32);
    CHECK(size.seats <= PPI_MAX_SEATS);
}

TEST(room_for_more)
{
    check_size(0, 0, 2, 2, 32);
    check_size(0, 0, 1, 1, 32);
    check_size(0, 0, 16, 16, 32);
    check_size(0, 0, 17, 17, 34);
    check_size(0, 0, 5000, 1024, 1024);
    check_size(4, 0, 2, 4, 32);
    check_size(600, 0, 2, 600, 1024);
    check_size(1024, 0, 2, 1024, 1024);
    check_size(0, 3, 8, 3, 3);
    check_size(0, 3, 2, 2, 3);
    check_size(5, 5, 2, 5, 5);
    check_size(1, 1024, 2, 1, 1024);
}

/* One word of sleepers: that is all that is looked at for each task. */
TEST(seats_of_a_usual_pool)
{
    pp_pool_options options = { .processes = 0 };

    for (unsigned cpus = 1; cpus <= 16; cpus++)
        CHECK_EQ(ppi_size_of(&options, cpus).seats, 64);
}

TEST(cpus_given)
{
    static const int cpus[] = { 0, 0, 0 };
    pp_pool_options options = { .cpus = cpus, .cpu_count = 3 };

    CHECK_EQ(ppi_size_of(&options, 8).workers, 3);
    CHECK_EQ(ppi_size_of(&options, 2).workers, 2);
    options.processes = 7;
    CHECK_EQ(ppi_size_of(&options, 2).workers, 7);
}

/* ---- The time that workers had -------------------------------------------- */

static struct ppi_queue_shm shm;

static pp_pool *make_pool(void)
{
    pp_pool *pool = calloc(1, sizeof *pool);

    CHECK(pool != NULL);
    pool->queue = &pool->heritage.queue;
    pool->queue->shm = &shm;
    return pool;
}

/* What it says of the time since then, in seconds; less than one of them is the test's own. */
static double worked_s(const pp_pool *pool, uint64_t since_ns)
{
    return ppi_worked_ns(pool, since_ns) / 1e9;
}

/* Where each second of the test's own may count for as much as 100 workers had. */
#define CHECK_ABOUT(found, expected, begin)                                                \
    CHECK((found) >= (expected) - slack(begin) && (found) <= (expected) + slack(begin))

static double slack(uint64_t begin_ns)
{
    return 0.01 + 100 * ((double)(ppi_now_ns() - begin_ns) / 1e9 - 100);
}

TEST(sizes_count_as_long_as_they_lasted)
{
    pp_pool *pool = make_pool();
    uint64_t begin = ppi_now_ns() - 100 * PPI_SECOND; /* also if that is before 0 */

    pool->sizes_known = 3;
    pool->sizes[0].since_ns = begin;
    pool->sizes[0].workers = 1;
    pool->sizes[1].since_ns = begin + 60 * PPI_SECOND;
    pool->sizes[1].workers = 16;
    pool->sizes[2].since_ns = begin + 70 * PPI_SECOND;
    pool->sizes[2].workers = 2;
    CHECK_ABOUT(worked_s(pool, begin), 60 + 160 + 60, begin);
    CHECK_ABOUT(worked_s(pool, begin + 50 * PPI_SECOND), 10 + 160 + 60, begin);
    CHECK_ABOUT(worked_s(pool, begin + 65 * PPI_SECOND), 80 + 60, begin);
    CHECK_ABOUT(worked_s(pool, begin + 90 * PPI_SECOND), 20, begin);
    free(pool);
}

/* However many there were: the long ones weigh as before. */
TEST(many_sizes)
{
    FOR_ROUNDS(random, 200) {
        pp_pool *pool = make_pool();
        uint64_t begin = ppi_now_ns() - 100 * PPI_SECOND;

        pool->sizes_known = 1;
        pool->sizes[0].since_ns = begin;
        pool->sizes[0].workers = 3;
        for (int i = 0; i < 100; i++) {
            unsigned workers = 1 + random_below(&random, 100);

            ppi_set_size(pool, workers);
            HOLDS(random, ppi_queue_workers(pool->queue) == workers);
            HOLDS(random, pool->sizes_known <= PPI_SIZES_KNOWN);
        }
        for (unsigned i = 1; i < pool->sizes_known; i++)
            HOLDS(random, pool->sizes[i].since_ns >= pool->sizes[i - 1].since_ns);
        CHECK_ABOUT(worked_s(pool, begin), 300, begin);
        CHECK_ABOUT(worked_s(pool, begin + 50 * PPI_SECOND), 150, begin);
        free(pool);
    }
}
