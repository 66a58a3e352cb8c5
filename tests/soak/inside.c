/* SPDX-License-Identifier: MIT */
/* What a pool holds that has nothing to do any more, seen from inside: nothing. */
#include "client/client.h"
#include "round.h"

/* Locked.  The arena is one free block again. */
static bool is_free(struct ppi_buddy *arena)
{
    void *all = ppi_buddy_alloc(arena, (size_t)PPI_PAGE << arena->top);

    ppi_buddy_free(arena, all);
    return all && ppi_buddy_valid(arena);
}

static bool is_idle(pp_pool *pool)
{
    pp_stats stats = pp_stats_of(pool); /* takes in what there is */
    bool idle;

    pthread_mutex_lock(&pool->lock);
    idle = stats.queued == 0 && stats.running == 0 && pool->used == 0 && pool->open == 0 &&
           pool->expected == 0 && pool->undrawn == 0 && ppi_list_empty(&pool->results) &&
           ppi_list_empty(&pool->backlog) && ppi_list_empty(&pool->due) &&
           ppi_list_empty(&pool->stopping) && ppi_list_empty(&pool->iterators);
    for (size_t i = 0; idle && i < ppi_flights_end(pool); i++)
        idle = pool->flights[i].block == NULL;
    pthread_mutex_unlock(&pool->lock);
    return idle;
}

/* Whatever was given up runs on, but not for long. */
void check_idle(struct round *round)
{
    enum { SOON_S = 40 };
    pp_pool *pool = round->pool;
    double end = now() + SOON_S;

    if (round->may_break || atomic_load(&scene->supervisor_killed))
        return;
    while (!is_idle(pool)) {
        if (atomic_load(&scene->supervisor_killed))
            return;
        if (now() > end)
            WRONG("after all has ended %zu slots are in use, %zu results open, %zu expected, "
                  "and there is %s %s %s %s",
                  pool->used, pool->open, pool->expected,
                  ppi_list_empty(&pool->results) ? "" : "a result",
                  ppi_list_empty(&pool->backlog) ? "" : "a backlog",
                  ppi_list_empty(&pool->due) ? "" : "a callback",
                  ppi_list_empty(&pool->iterators) ? "" : "an iterator");
        pause_us(500);
    }
    pthread_mutex_lock(&pool->lock);
    MUST(is_free(&pool->arena));
    MUST(is_free(&pool->shared));
    pthread_mutex_unlock(&pool->lock);
}
