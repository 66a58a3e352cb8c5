/* SPDX-License-Identifier: MIT */
/* Each item gets one outcome, whoever says what. */
#include <procpool.h>
#include <stdlib.h>

#include "client/client.h"
#include "harness.h"

static long nothing(long x)
{
    return x;
}
PP_TASK(long, nothing, long, x);

/* As much of a pool as results need. */
static pp_pool *make_pool(void)
{
    pp_pool *pool = calloc(1, sizeof *pool);

    CHECK(pool != NULL);
    pool->queue = &pool->heritage.queue;
    ppi_init_results(pool);
    return pool;
}

static void free_pool(pp_pool *pool, pp_result *result)
{
    ppi_result_destroy(result);
    ppi_slab_destroy(&pool->slab);
    free(pool);
}

static const pp_error crash = { .kind = PP_CRASHED, .index = 1, .message = "it crashed" };

/* What a worker of a cancelled map could write twice. */
static void skip_twice(size_t count)
{
    pp_pool *pool = make_pool();
    pp_result *result = ppi_result_new(pool, &nothing_pp_task, count, false);

    CHECK(!ppi_skip(result, 0, 1)); /* it is not cancelled */
    result->cancelled = true;
    CHECK(ppi_skip(result, count - 2, 2));
    CHECK(!ppi_skip(result, count - 1, 1));
    CHECK(!ppi_succeed(result, count - 2, 1, "8 bytes", 8, false));
    CHECK_EQ(result->done, 2);
    CHECK(!ppi_has_outcome(result, count - 1)); /* of its own */
    CHECK_EQ(ppi_next_missing(result, 0), 0);
    free_pool(pool, result);
}

TEST(skipped_items_are_skipped_once)
{
    skip_twice(2);
    skip_twice(64);
    skip_twice(65);
    skip_twice(1000);
}

TEST(failures_and_successes_come_once)
{
    pp_pool *pool = make_pool();
    pp_result *result = ppi_result_new(pool, &nothing_pp_task, 3, true);
    const long value = 7;

    CHECK(ppi_fail(result, &crash));
    CHECK(!ppi_fail(result, &crash));
    CHECK(!ppi_succeed(result, 1, 1, &value, sizeof value, false));
    CHECK(ppi_succeed(result, 0, 1, &value, sizeof value, false));
    CHECK(!ppi_succeed(result, 0, 1, &value, sizeof value, false));
    CHECK(!ppi_succeed(result, 0, 3, &value, 3 * sizeof value, false));
    CHECK_EQ(result->done, 2);
    CHECK_EQ(ppi_next_missing(result, 0), 2);
    free_pool(pool, result);
}

/* An entry for each item that the rest stands for, those that were skipped among them. */
TEST(the_rest_is_spelled_out)
{
    pp_pool *pool = make_pool();
    pp_result *result = ppi_result_new(pool, &nothing_pp_task, 70, false);
    const pp_error cancelled = { .kind = PP_CANCELLED, .message = "cancelled" };

    result->cancelled = true;
    CHECK(ppi_fail(result, &crash));
    CHECK(ppi_skip(result, 60, 10));
    ppi_fail_rest(result, &cancelled);
    CHECK(ppi_spell_out_rest(result));
    CHECK_EQ(ppi_failed(result), 70);
    CHECK(ppi_rest(result) == NULL);
    CHECK_EQ(ppi_next_missing(result, 0), 70);
    CHECK_EQ(result->failures->all[1].kind, PP_CRASHED);
    CHECK_EQ(result->failures->all[65].kind, PP_CANCELLED);
    CHECK_EQ(result->failures->all[65].index, 65);
    free_pool(pool, result);
}
