/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <sys/resource.h>

#include "standard.h"

static int limit_memory(void *unused)
{
    const struct rlimit limit = { 512 << 20, 512 << 20 };

    (void)unused;
    return setrlimit(RLIMIT_AS, &limit);
}

static void allocate(size_t size)
{
    char *volatile memory; /* or the compiler sees that it is of no use */

    sleep_for(10000);
    fault_now();
    memory = malloc(size);
    if (!memory)
        pp_raise(errno, "%zu bytes: %s", size, strerror(errno));
    memset(memory, 1, size);
    free(memory);
}
PP_TASK(void, allocate, size_t, size);

CASE(address_space_limit, .python = "c20_rlimit_as",
     .title = "RLIMIT_AS of 512 MiB in the worker, and a task that asks for 2 GiB",
     .must = "malloc() fails there, which the task raises; nothing else fails")
{
    if (HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("they need too much address space themselves");
    STANDARD(.pool = pp_pool_new(.processes = 2, .initializer = limit_memory),
             .victim = PP_CALL(allocate, (size_t)2 << 30).call, .none_dies = true,
             .must = { .error = PP_ERAISED, .code = ENOMEM });
}
