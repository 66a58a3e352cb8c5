/* SPDX-License-Identifier: MIT */
#ifndef TESTS_RELACY_WORLD_H
#define TESTS_RELACY_WORLD_H

#include "client/client.h"
#include "client/result.h"
#include "queue/idle.h"
#include "queue/wake.h"
#include "supervisor/supervisor.h"
#include "worker/worker.h"

enum { SEATS = 2 };

/* Before each run: nobody sleeps, nothing was submitted, no worker has come to its seat. */
void place_all(struct ppi_queue *queue);

#endif
