/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdlib.h>

#include "standard.h"

static atomic_uchar *runs;

static long twice(long x)
{
    atomic_fetch_add(&runs[x], 1);
    if (x % 1000 == 999) {
        fault_now();
        raise(x % 2000 == 999 ? SIGKILL : SIGSEGV);
    }
    return 2 * x;
}
PP_TASK(long, twice, long, x);

static void check_values(const long *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(values[i], i % 1000 == 999 ? 0 : 2 * (long)i);
        CHECK_EQ(atomic_load(&runs[i]), 1);
    }
}

CASE(crash_in_map, .limit = 120,
     .title = "a map of a million, of which every thousandth crashes (100,000 in short runs)",
     .must = "each crash costs its own item; all others are right, and none was run twice")
{
    size_t count = full_size(100000, 1000000);
    long *items = calloc(count, sizeof *items), *values = calloc(count, sizeof *values);
    pp_pool *pool;
    pp_result *map;

    runs = shared_new(count);
    for (size_t i = 0; i < count; i++)
        items[i] = (long)i;
    pool = pool_of(2);
    map = pp_map_async(pool, twice, items, count);
    CHECK_EQ(pp_get(map, values, .timeout = 100), PP_ECRASHED);
    saw("PP_ECRASHED for %zu of %zu", pp_failures(map), count);
    CHECK_EQ(pp_failures(map), count / 1000);
    check_values(values, count);
    saw("all others right, each run once");
    end_pool(pool);
    shared_free(runs, count);
    free(items);
    free(values);
}
