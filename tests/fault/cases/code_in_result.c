/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdlib.h>

#include "standard.h"

static atomic_int *called;

static void be_called(void)
{
    atomic_fetch_add(called, 1);
}

typedef void code(void);

static code *give_function(void)
{
    fault_now();
    return be_called;
}
PP_TASK(code *, give_function);

/* mov $1, %eax; ret, and the like: bytes as all others. */
static pp_bytes give_code(void)
{
    static const unsigned char bytes[] = { 0xb8, 1, 0, 0, 0, 0xc3, 0xcc, 0xcc };

    return (pp_bytes){ bytes, sizeof bytes };
}
PP_TASK(pp_bytes, give_code);

static const char *give_format(void)
{
    return "%s%s%n%n";
}
PP_TASK(const char *, give_format);

static void raise_format(void)
{
    pp_raise(1, "%s", "%s%s%n%n");
}
PP_TASK(void, raise_format);

CASE(code_in_result, .python = "c31_pickle_exec",
     .title = "a result that is code: a function, instructions, a format",
     .must = "it arrives as data, and nothing of it is called")
{
    pp_pool *pool = pool_of(2);
    code *function = NULL;
    const char *text = NULL;
    pp_bytes bytes;
    pp_result *raised;

    called = shared_new(sizeof *called);
    CHECK_EQ(get(pp_apply_async(pool, PP_CALL(give_function)), &function), 0);
    answered_now();
    CHECK(function == be_called);
    CHECK_EQ(get(pp_apply_async(pool, PP_CALL(give_code)), &bytes), 0);
    CHECK_EQ(bytes.size, 8);
    CHECK_EQ(get(pp_apply_async(pool, PP_CALL(give_format)), &text), 0);
    CHECK_STR(text, "%s%s%n%n");
    raised = pp_apply_async(pool, PP_CALL(raise_format));
    CHECK_EQ(get(raised, NULL), PP_ERAISED);
    CHECK_HAS(pp_error_of(raised)->message, "%s%s%n%n");
    check_bystanders(pool);
    CHECK_EQ(atomic_load(called), 0);
    saw("the same bytes, called 0 times; 20 of 20 others right");
    end_pool(pool);
    shared_free(called, sizeof *called);
}
