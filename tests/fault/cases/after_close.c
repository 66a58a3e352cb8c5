/* SPDX-License-Identifier: MIT */
#include "standard.h"

static long same(long x)
{
    return x;
}
PP_TASK(long, same, long, x);

CASE(after_close, .python = "c27_after_close", .title = "a task submitted after pp_close()",
     .must = "that is an error; what was submitted before is run")
{
    pp_pool *pool = pool_of(2);
    struct bystanders all;
    long item = 1;

    bystanders_submit(&all, pool, 0, BYSTANDERS);
    CHECK_EQ(pp_close(pool), 0);
    fault_now();
    CHECK_NULL(pp_apply_async(pool, PP_CALL(same, 1)), ESHUTDOWN);
    answered_now();
    CHECK_EQ(pp_apply(pool, PP_CALL(same, 1), NULL), -ESHUTDOWN);
    CHECK_EQ(pp_map(pool, same, &item, 1, NULL), -ESHUTDOWN);
    CHECK_NULL(pp_imap(pool, same, .items = &item, .count = 1), ESHUTDOWN);
    saw("-ESHUTDOWN");
    bystanders_check(&all);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(same, 1), NULL), -ESHUTDOWN);
    end_pool(pool);
}
