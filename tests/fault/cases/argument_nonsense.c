/* SPDX-License-Identifier: MIT */
#include <stdint.h>

#include "standard.h"

static size_t size_of(pp_bytes bytes)
{
    return bytes.size;
}
PP_TASK(size_t, size_of, pp_bytes, bytes);

static void check_refused(pp_pool *pool, pp_call call, int code)
{
    fault_now();
    CHECK_NULL(pp_apply_async_with(pool, call, NULL), code);
    answered_now();
    saw("%s", strerrorname_np(code));
}

CASE(argument_nonsense, .python = "c13_arg_unpicklable",
     .title = "arguments that make no sense: none, bytes that are nowhere, or larger than memory",
     .must = "submitting fails, nothing else does")
{
    pp_pool *pool = pool_of(2);
    struct bystanders all;

    bystanders_submit(&all, pool, 0, 10);
    check_refused(pool, (pp_call){ &size_of_pp_task, NULL }, EINVAL);
    check_refused(pool, PP_CALL(size_of, { NULL, 8 }).call, EINVAL);
    check_refused(pool, PP_CALL(size_of, { "x", SIZE_MAX }).call, ENOMEM);
    bystanders_submit(&all, pool, 10, BYSTANDERS);
    bystanders_check(&all);
    check_works(pool);
    end_pool(pool);
}
