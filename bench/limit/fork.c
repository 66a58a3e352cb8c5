/* SPDX-License-Identifier: MIT */
/* start: what one process costs: fork, exit at once, wait. */
#include "harness/bench.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t life_ns(void)
{
    int status = -1;
    uint64_t begin_ns = bench_now_ns();
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    bench_check(child > 0 && waitpid(child, &status, 0) == child && status == 0,
                "fork: the child failed");
    return bench_now_ns() - begin_ns;
}

BENCH_WORKLOAD(start)
{
    size_t forks = bench_count(500, scale);
    uint64_t *took_ns = bench_alloc(forks * sizeof *took_ns);

    life_ns();
    for (size_t i = 0; i < forks; i++)
        took_ns[i] = life_ns();
    bench_report_median_s("median", took_ns, forks);
    free(took_ns);
}
