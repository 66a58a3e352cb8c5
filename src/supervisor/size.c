/* SPDX-License-Identifier: MIT */
/*
 * As many workers as there are to be, which the client may change at any time.
 *
 * Nobody is killed for it: a worker that is one too many is dismissed, and leaves when it
 * has done what it has in hand.  Until then it stays on its seat, so that there are never
 * more workers than there may be at most: who is needed again before it has left is taken
 * back first.  One that has seen its dismissal by then leaves all the same, and is replaced
 * like any other that retires.
 */
#include "base/point.h"
#include "queue/wake.h"
#include "supervisor/supervisor.h"

static void set_dismissed(struct ppi_supervisor *supervisor, unsigned seat, bool dismissed)
{
    atomic_store_explicit(&supervisor->queue.control->seats[seat].dismissed, dismissed,
                          memory_order_relaxed);
    supervisor->places[seat].dismissed = dismissed;
    if (dismissed)
        supervisor->dismissed++;
    else
        supervisor->dismissed--;
}

/* Of the workers that are dismissed, or not: the one with the highest id, or the lowest. */
static unsigned choose(const struct ppi_supervisor *supervisor, bool dismissed)
{
    unsigned chosen = supervisor->queue.seats;

    for (unsigned seat = 0; seat < supervisor->queue.seats; seat++) {
        const struct ppi_place *place = &supervisor->places[seat], *best;

        if (!place->pid || place->dismissed != dismissed)
            continue;
        best = chosen < supervisor->queue.seats ? &supervisor->places[chosen] : NULL;
        if (!best || (place->id < best->id) == dismissed)
            chosen = seat;
    }
    return chosen;
}

unsigned ppi_fit_size(struct ppi_supervisor *supervisor)
{
    unsigned wanted = ppi_queue_workers(&supervisor->queue);
    bool any = false;

    if (wanted != supervisor->size)
        ppi_limit_resize(&supervisor->limit, wanted, ppi_now_ns());
    supervisor->size = wanted;
    while (supervisor->dismissed > 0 && supervisor->alive - supervisor->dismissed < wanted)
        set_dismissed(supervisor, choose(supervisor, true), false);
    for (; supervisor->alive - supervisor->dismissed > wanted; any = true)
        set_dismissed(supervisor, choose(supervisor, false), true);
    PPI_POINT(SUPERVISOR_DISMISSED);
    if (any) /* those that sleep: only who is woken sees it */
        ppi_wake_to_end(&supervisor->queue, PPI_ALL);
    return wanted - (supervisor->alive - supervisor->dismissed);
}
