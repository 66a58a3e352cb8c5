/* SPDX-License-Identifier: MIT */
/*
 * src/supervisor/reap.c that does not wake anybody after a death.  A program that is
 * linked with this gets it instead of the library's.
 */
#include "queue/wake.h"

static void wake_nobody(struct ppi_queue *queue)
{
    atomic_store(&queue->claims->waking, 0);
}

#define ppi_wake_all wake_nobody
#include "supervisor/reap.c"
