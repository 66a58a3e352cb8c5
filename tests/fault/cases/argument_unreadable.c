/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/mman.h>

#include "standard.h"

static long add_up(const long *numbers)
{
    sleep_for(10000);
    fault_now();
    return numbers[0] + numbers[1];
}
PP_TASK(long, add_up, const long *, numbers);

CASE(argument_unreadable, .python = "c14_arg_unloadable",
     .title = "an argument that is no use to the worker: a pointer to memory made later",
     .must = "the task is an error, nothing else is")
{
    const size_t size = 1 << 20;
    pp_pool *pool = pool_of(2);
    long *numbers =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(numbers != MAP_FAILED);
    STANDARD(.victim = PP_CALL(add_up, numbers).call, .pool = pool,
             .must = { .error = PP_ECRASHED, .signal = SIGSEGV });
    CHECK_EQ(munmap(numbers, size), 0);
}
