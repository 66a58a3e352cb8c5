/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdlib.h>

#include "standard.h"

/* Four million bytes of which none is of a character. */
static void raise_nonsense(void)
{
    size_t size = 4 << 20;
    char *words = malloc(size);

    memset(words, 0xfe, size);
    words[size - 1] = '\0';
    fault_now();
    pp_raise(INT_MIN, "%s%n%%n", words, &(int){ 0 });
}
PP_TASK(void, raise_nonsense);

static int length(pp_result *result)
{
    return (int)strlen(pp_error_of(result)->message);
}

CASE(raise_nonsense, .python = "c09_exc_unpicklable",
     .title = "an exception that makes no sense: a message of 4 MiB that is no text",
     .must = "the task is an error with that code, and the beginning of that message")
{
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_apply_async(pool, PP_CALL(raise_nonsense));

    CHECK_EQ(get(result, NULL), PP_ERAISED);
    CHECK(length(result) > 500 && length(result) < 2000);
    saw("%d bytes of the message", length(result));
    STANDARD(.victim = PP_CALL(raise_nonsense).call, .pool = pool, .none_dies = true,
             .must = { .error = PP_ERAISED, .code = INT_MIN });
}
