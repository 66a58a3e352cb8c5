/* SPDX-License-Identifier: MIT */
/* map_commands: a task that runs another program and waits for it, as a shell's tools do. */
#include "pool.h"

#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

static int run_command(int unused)
{
    char name[] = "/bin/true", *arguments[] = { name, NULL };
    int status = -1;
    pid_t child;

    (void)unused;
    if (posix_spawn(&child, name, NULL, NULL, arguments, environ) != 0)
        return -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}
PP_TASK(int, run_command, int, unused);

BENCH_WORKLOAD(map_commands)
{
    size_t count = bench_count(500, scale);
    int *items = bench_alloc(count * sizeof *items);
    int *statuses = bench_alloc(count * sizeof *statuses);
    pp_pool *pool = warm_pool();
    uint64_t begin_ns = bench_now_ns();
    int error = pp_map(pool, run_command, items, count, statuses);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    stop_pool(pool);
    bench_check(error == 0, "map_commands: a call failed");
    for (size_t i = 0; i < count; i++)
        bench_check(statuses[i] == 0, "map_commands: a command failed");
    bench_report_rate(count, &took_ns, 1, "/s");
    free(items);
    free(statuses);
}
