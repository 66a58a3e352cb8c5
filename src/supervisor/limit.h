/* SPDX-License-Identifier: MIT */
/*
 * When to give up: workers that die of themselves and not of a task.
 *
 * A death in a task costs an item, so that there cannot be more of them than items,
 * and a worker that has begun a task was of use.  Others (in the initializer, or
 * before the first task) could go on for ever: at most max(8, 2n) of them in ten
 * seconds, and less than three in a row that never became ready.
 */
#ifndef PPI_SUPERVISOR_LIMIT_H
#define PPI_SUPERVISOR_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/layout.h"

#define PPI_LIMIT_IN_ROW 3

#define PPI_LIMIT_MOST (2 * PPI_MAX_WORKERS)

struct ppi_limit {
    unsigned most;        /* in ten seconds */
    unsigned former_most; /* counts instead until then: there were more workers */
    uint64_t until_ns;
    uint64_t count; /* of deaths, until now */
    uint64_t times_ns[PPI_LIMIT_MOST]; /* of the last, in a ring */
    unsigned in_row;
};

void ppi_limit_init(struct ppi_limit *limit, unsigned workers);

/* The number of workers has changed.  Deaths until now count on, as many as were allowed. */
void ppi_limit_resize(struct ppi_limit *limit, unsigned workers, uint64_t now_ns);

/* Counts a death before the first task; false when it was one too many. */
bool ppi_limit_allows(struct ppi_limit *limit, uint64_t now_ns, bool was_ready);

/* A worker became ready, or died of a task: what came before was no series. */
void ppi_limit_relax(struct ppi_limit *limit);

#endif
