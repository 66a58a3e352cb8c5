/* SPDX-License-Identifier: MIT */
#include "supervisor/limit.h"

#include "base/clock.h"

#define PERIOD_NS (10 * PPI_SECOND)

static unsigned most_of(unsigned workers)
{
    return workers > 4 ? 2 * workers : 8;
}

void ppi_limit_init(struct ppi_limit *limit, unsigned workers)
{
    limit->most = most_of(workers);
    limit->until_ns = 0;
    limit->count = 0; /* so that none of the times is looked at */
    limit->in_row = 0;
}

void ppi_limit_resize(struct ppi_limit *limit, unsigned workers, uint64_t now_ns)
{
    unsigned former = limit->most;

    if (now_ns < limit->until_ns && limit->former_most > former)
        former = limit->former_most;
    limit->most = most_of(workers);
    limit->former_most = former;
    limit->until_ns = now_ns + PERIOD_NS;
}

bool ppi_limit_allows(struct ppi_limit *limit, uint64_t now_ns, bool was_ready)
{
    bool shrunk = now_ns < limit->until_ns && limit->former_most > limit->most;
    unsigned most = shrunk ? limit->former_most : limit->most;
    uint64_t oldest = limit->count < most /* of the last so many */
                          ? 0
                          : limit->times_ns[(limit->count - most) % PPI_LIMIT_MOST];

    limit->times_ns[limit->count++ % PPI_LIMIT_MOST] = now_ns;
    limit->in_row = was_ready ? 0 : limit->in_row + 1;
    if (limit->in_row >= PPI_LIMIT_IN_ROW)
        return false;
    return oldest == 0 || now_ns - oldest > PERIOD_NS;
}

void ppi_limit_relax(struct ppi_limit *limit)
{
    limit->in_row = 0;
}
