/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/mman.h>

#include "standard.h"

/* The end of memory comes before that of the string. */
static const char *unterminated(void)
{
    const size_t page = 4096;
    char *pages =
        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(pages, 'x', page);
    mprotect(pages + page, page, PROT_NONE);
    fault_now();
    return pages;
}
PP_TASK(const char *, unterminated);

static const char *nowhere(void)
{
    fault_now();
    return (const char *)16;
}
PP_TASK(const char *, nowhere);

static pp_bytes bytes_nowhere(void)
{
    fault_now();
    return (pp_bytes){ (const void *)16, 1000000 };
}
PP_TASK(pp_bytes, bytes_nowhere);

CASE(result_unreadable, .python = "c11_result_unpicklable",
     .title = "a result that cannot be read: a string without an end, or nowhere",
     .must = "the task is an error, nothing else is")
{
    const struct ending crash = { .error = PP_ECRASHED, .signal = SIGSEGV };
    pp_pool *pool = pool_of(2);

    check_ending(pp_apply_async(pool, PP_CALL(unterminated)), &crash);
    check_ending(pp_apply_async(pool, PP_CALL(nowhere)), &crash);
    STANDARD(.victim = PP_CALL(bytes_nowhere).call, .must = crash, .pool = pool);
}
