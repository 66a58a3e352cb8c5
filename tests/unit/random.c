/* SPDX-License-Identifier: MIT */
/* Random numbers, and seeds that differ for sure. */
#include "base/random.h"

#include <stdlib.h>

#include "harness.h"

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void check_differ(uint64_t *numbers, size_t count)
{
    qsort(numbers, count, sizeof *numbers, compare);
    for (size_t i = 1; i < count; i++)
        CHECK(numbers[i - 1] != numbers[i]);
}

TEST(numbers_differ)
{
    static uint64_t numbers[10000];

    for (size_t i = 0; i < 10000; i++)
        numbers[i] = ppi_random();
    check_differ(numbers, 10000);
}

TEST(seeds_of_a_pool_differ)
{
    enum { IDS = 1000, LIVES = 1000 };
    static uint64_t seeds[IDS * LIVES];
    const uint64_t pools[] = { 0, 1, UINT64_MAX, UINT64_C(1) << 32, ppi_random() };

    for (size_t pool = 0; pool < 5; pool++) {
        for (uint32_t id = 0; id < IDS; id++)
            for (uint32_t life = 1; life <= LIVES; life++)
                seeds[id * LIVES + life - 1] = ppi_worker_seed(pools[pool], id, life);
        check_differ(seeds, IDS * LIVES);
    }
}

TEST(a_seed_is_the_same_each_time)
{
    CHECK_EQ(ppi_worker_seed(5, 6, 7), ppi_worker_seed(5, 6, 7));
    CHECK(ppi_worker_seed(5, 6, 7) != ppi_worker_seed(6, 6, 7));
    CHECK(ppi_worker_seed(5, 6, 7) != ppi_worker_seed(5, 7, 6));
}

/* Neighbours have nothing in common: each bit is another in about half of the cases. */
TEST(each_bit_changes)
{
    unsigned changes[64] = { 0 };

    for (uint32_t life = 1; life <= 10000; life++) {
        uint64_t change = ppi_worker_seed(1, 0, life) ^ ppi_worker_seed(1, 0, life + 1);

        for (int bit = 0; bit < 64; bit++)
            changes[bit] += (unsigned)(change >> bit & 1);
    }
    for (int bit = 0; bit < 64; bit++)
        CHECK(changes[bit] > 4700 && changes[bit] < 5300);
}
