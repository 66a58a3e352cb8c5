/*
 * A pool can be looked into while it works: here as top(1) shows processes.
 * Draws the table on standard error if that is a terminal, and prints: 400 items, 1 failed, 1 worker died
 */
#include <errno.h>
#include <procpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKERS = 4, ITEMS = 400 };

static long grind(long x)
{
    volatile long sum = 0;

    if (x == 300)
        abort();
    for (long i = 0; i < 2000000 + 10000 * x; i++)
        sum += i % (x + 1);
    return sum;
}
PP_TASK(long, grind, long, x);

static const char *const states[] = { "starting", "idle", "busy", "leaving" };

/* The table, and back to its first line, where the next one is drawn over it. */
static void draw(pp_pool *pool)
{
    pp_worker_stats workers[WORKERS];
    pp_stats stats = pp_stats_of(pool);
    size_t count = pp_worker_stats_of(pool, workers, WORKERS), lines = 2;

    fprintf(stderr, "%zu queued, %zu running, %zu done, %zu failed  %.1f s\033[K\n",
            stats.queued, stats.running, stats.done, stats.failed, stats.elapsed);
    fprintf(stderr, "id     pid state     tasks  items   busy died function\033[K\n");
    for (size_t i = 0; i < count && i < WORKERS; i++, lines++) {
        const pp_worker_stats *worker = &workers[i];
        double alive = worker->busy + worker->waiting;

        fprintf(stderr, "%2d %7d %-8s %6zu %6zu %5.1f%% %4zu %s\033[K\n", worker->id,
                (int)worker->pid, states[worker->state], worker->tasks, worker->items,
                alive > 0 ? 100 * worker->busy / alive : 0, worker->deaths,
                worker->function ? worker->function : "-");
    }
    fprintf(stderr, "\033[J\033[%zuA\r", lines);
}

int main(void)
{
    long items[ITEMS];
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = WORKERS);
    pp_stats stats;

    for (int i = 0; i < ITEMS; i++)
        items[i] = i;
    pp_result *result = pp_map_async(pool, grind, items, ITEMS, .chunksize = 4);
    while (pp_wait(result, .timeout = 0.1) == -ETIMEDOUT)
        if (isatty(STDERR_FILENO))
            draw(pool);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\033[J");
    pp_close(pool);
    pp_join(pool);
    stats = pp_stats_of(pool);
    printf("%zu items, %zu failed, %zu worker died\n", stats.done, stats.failed, stats.deaths);
}
