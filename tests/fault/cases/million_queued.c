/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "standard.h"

static long same(long x)
{
    return x;
}
PP_TASK(long, same, long, x);

static size_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long all, here = 0;

    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%lu %lu", &all, &here), 2);
    fclose(file);
    return here * 4096;
}

CASE(million_queued, .python = "c24_million", .limit = 120,
     .title = "a million tasks queued (100,000 in short runs)",
     .must = "all are right; memory for each is bounded")
{
    long count = (long)full_size(100000, 1000000);
    pp_result **results = calloc((size_t)count, sizeof *results);
    pp_pool *pool = pool_of(2);
    size_t before, each;
    double begun, submitted;
    long right = 0;

    check_bystanders(pool);
    memset(results, 1, (size_t)count * sizeof *results);
    before = resident();
    begun = harness_now();
    for (long i = 0; i < count; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(same, i))) != NULL);
    submitted = harness_now();
    each = (resident() - before) / (size_t)count;
    for (long i = 0; i < count; i++) {
        long value = -1;

        right += get(results[i], &value) == 0 && value == i;
    }
    saw("%ld of %ld right, %zu bytes each", right, count, each);
    saw("submitted in %.2f s, all done after %.2f s", submitted - begun, harness_now() - begun);
    CHECK_EQ(right, count);
    CHECK(each < 1000 || HARNESS_SANITIZED);
    end_pool(pool);
    free(results);
}
