/* SPDX-License-Identifier: MIT */
/*
 * What a pool has mapped is gone when it is freed, its private parts, too, which look like
 * any others in /proc.
 */
#include <procpool.h>
#include <sys/mman.h>

#include "client/client.h"
#include "harness.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static bool is_mapped(const void *address)
{
    unsigned char resident;

    return mincore((void *)((uintptr_t)address & -(uintptr_t)PPI_PAGE), PPI_PAGE, &resident) == 0;
}

static void check_freed(pp_start start)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .start = start);
    const struct ppi_segment *segment;
    const void *all[4];
    long value = 0;

    CHECK(pool != NULL);
    segment = &pool->queue->segment;
    all[0] = pool->flights;
    all[1] = pool->creator;
    all[2] = segment->base;
    all[3] = segment->base + segment->size - 1;
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 9), &value), 0);
    CHECK_EQ(value, 81);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        CHECK(is_mapped(all[i]));
    CHECK_EQ(pp_pool_free(pool), 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        CHECK(!is_mapped(all[i]));
}

TEST(of_processes)
{
    check_freed(PP_FORK);
}

TEST(of_threads)
{
    check_freed(PP_THREADS);
}
