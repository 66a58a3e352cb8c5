/* SPDX-License-Identifier: MIT */
/*
 * src/supervisor/supervisor.c that says that it lives before the kernel knows what to do when
 * it dies.  A program that is linked with this gets it instead of the library's.
 */
#define ppi_supervisor_run run_in_order
#include "supervisor/supervisor.c"
#undef ppi_supervisor_run

#include "walk.h"

const struct walk_broken walk_broken = { "supervisor starts", WALK_KILLED, 1000 };

_Noreturn void ppi_supervisor_run(const struct ppi_heritage *heritage);

_Noreturn void ppi_supervisor_run(const struct ppi_heritage *heritage)
{
    atomic_store(&heritage->queue.control->life,
                 (uint32_t)syscall(SYS_gettid) | FUTEX_WAITERS);
    run_in_order(heritage);
}
