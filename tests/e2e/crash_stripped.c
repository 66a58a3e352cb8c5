/* SPDX-License-Identifier: MIT */
/* Crash reports of a program that has no symbols: what addr2line can make use of. */
#include "crashing.h"

static int nested(size_t address)
{
    return fill(at(address), 10) + 1;
}
PP_TASK(int, nested, size_t, address);

TEST(offsets)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, nested, 0);

    CHECK_HAS(error->message, "at address 0x0 in e2e-crash_stripped+0x");
    CHECK_HAS(error->backtrace, "#0 e2e-crash_stripped+0x");
    CHECK_HAS(error->backtrace, "\n#2 e2e-crash_stripped+0x");
    CHECK(!strstr(error->backtrace, "store"));
    free(error);
    finish(pool);
}
