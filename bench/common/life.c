/* SPDX-License-Identifier: MIT */
/* start: a pool, one task, stop; memory and idle: what its workers take and do meanwhile. */
#include "harness/peer.h"

#include <stdlib.h>

static uint64_t life_ns(int workers)
{
    uint64_t begin_ns = bench_now_ns();

    bench_peer.start(workers);

    long value = bench_peer.square(5);

    bench_peer.stop();

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(value == 25, "start: wrong result");
    return took_ns;
}

static void measure(int workers, size_t pools)
{
    uint64_t *took_ns = bench_alloc(pools * sizeof *took_ns);

    life_ns(workers);
    for (size_t i = 0; i < pools; i++)
        took_ns[i] = life_ns(workers);
    bench_report_median_s("median", took_ns, pools);
    free(took_ns);
}

BENCH_WORKLOAD_IF(start, bench_peer.square && !bench_peer.global)
{
    measure(BENCH_WORKERS, bench_count(50, scale));
}

BENCH_WORKLOAD_IF(start_64, bench_peer.square && !bench_peer.global)
{
    measure(64, bench_count(10, scale));
}

BENCH_WORKLOAD_IF(memory, bench_peer.processes)
{
    (void)scale;
    bench_start_warm();
    bench_report_workers_memory("worker_of_2", BENCH_WORKERS);
    bench_peer.stop();
    bench_peer.start(64);
    bench_peer.square(5);
    bench_report_workers_memory("worker_of_64", 64);
    bench_peer.stop();
}

BENCH_WORKLOAD_IF(idle, bench_peer.processes)
{
    bench_start_warm();
    bench_report_idleness(scale);
    bench_peer.stop();
}
