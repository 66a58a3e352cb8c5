/* SPDX-License-Identifier: MIT */
#include <stdint.h>

#include "standard.h"

static pp_bytes claim(size_t size)
{
    fault_now();
    return (pp_bytes){ "little", size };
}
PP_TASK(pp_bytes, claim, size_t, size);

CASE(result_nonsense, .python = "c12_result_unloadable",
     .title = "a result that makes no sense: bytes larger than memory",
     .must = "the task is an error, nothing else is")
{
    const struct ending too_large = { .error = PP_ERAISED, .code = ENOMEM };
    pp_pool *pool = pool_of(2);

    check_ending(pp_apply_async(pool, PP_CALL(claim, SIZE_MAX)), &too_large);
    check_ending(pp_apply_async(pool, PP_CALL(claim, (size_t)1 << 50)), &too_large);
    STANDARD(.victim = PP_CALL(claim, SIZE_MAX / 2).call, .must = too_large, .pool = pool,
             .none_dies = true);
}
