/* SPDX-License-Identifier: MIT */
#include "supervisor/limit.h"

#include <string.h>

#include "base/clock.h"

#define PERIOD_NS (10 * PPI_SECOND)

void ppi_limit_init(struct ppi_limit *limit, unsigned workers)
{
    limit->most = workers > 4 ? 2 * workers : 8;
    limit->next = limit->in_row = 0;
    memset(limit->times_ns, 0, limit->most * sizeof *limit->times_ns); /* of 16 KiB */
}

bool ppi_limit_allows(struct ppi_limit *limit, uint64_t now_ns, bool was_ready)
{
    /* The ring holds the last most deaths: the place that comes next, the oldest. */
    uint64_t oldest = limit->times_ns[limit->next];

    limit->times_ns[limit->next] = now_ns;
    limit->next = (limit->next + 1) % limit->most;
    limit->in_row = was_ready ? 0 : limit->in_row + 1;
    if (limit->in_row >= PPI_LIMIT_IN_ROW)
        return false;
    return oldest == 0 || now_ns - oldest > PERIOD_NS;
}

void ppi_limit_relax(struct ppi_limit *limit)
{
    limit->in_row = 0;
}
