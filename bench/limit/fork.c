/* SPDX-License-Identifier: MIT */
/* start, replace: what one small process costs: fork, exit at once or become another
   program, wait. */
#include "harness/bench.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void exit_at_once(void)
{
    _exit(0);
}

static void execute(void)
{
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
}

static uint64_t life_ns(void (*live)(void))
{
    int status = -1;
    uint64_t begin_ns = bench_now_ns();
    pid_t child = fork();

    if (child == 0)
        live();
    bench_check(child > 0 && waitpid(child, &status, 0) == child && status == 0,
                "fork: the child failed");
    return bench_now_ns() - begin_ns;
}

static void measure(const char *metric, void (*live)(void), size_t times)
{
    uint64_t *took_ns = bench_alloc(times * sizeof *took_ns);

    life_ns(live);
    for (size_t i = 0; i < times; i++)
        took_ns[i] = life_ns(live);
    bench_report_median_s(metric, took_ns, times);
    free(took_ns);
}

BENCH_WORKLOAD(start)
{
    measure("median", exit_at_once, bench_count(500, scale));
}

BENCH_WORKLOAD(replace)
{
    measure("fork_exit_wait", exit_at_once, bench_count(300, scale));
    measure("fork_exec_wait", execute, bench_count(100, scale));
}
