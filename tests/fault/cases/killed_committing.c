/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/mman.h>

#include "standard.h"

/* Half of the result has been copied out when this is reached. */
static void die(int signal)
{
    (void)signal;
    fault_now();
    raise(SIGKILL);
}

static pp_bytes half_there(size_t size)
{
    char *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(data, 1, size / 2);
    mprotect(data + size / 2, size / 2, PROT_NONE);
    signal(SIGSEGV, die);
    return (pp_bytes){ data, size };
}
PP_TASK(pp_bytes, half_there, size_t, size);

CASE(killed_committing, .python = "c03_kill_in_send",
     .title = "SIGKILL half-way through handing over a result of 512 MiB (32 in short runs)",
     .must = "the task is an error, nothing else is")
{
    STANDARD(.victim = PP_CALL(half_there, full_size(32, 512) << 20).call,
             .must = { .error = PP_ECRASHED, .signal = SIGKILL });
}
