/* SPDX-License-Identifier: MIT */
/* apply: one call at a time; asleep in between or spinning, on two CPUs or one. */
#include "harness/peer.h"

#include <stdlib.h>

static uint64_t round_trip_ns(long x)
{
    uint64_t begin_ns = bench_now_ns();
    long value = bench_peer.square(x);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(value == x * x, "apply: wrong result");
    return took_ns;
}

/* On the pool that is there, which is stopped. */
static void measure_started(double scale)
{
    size_t calls = bench_count(10000, scale);
    uint64_t *took_ns = bench_alloc(calls * sizeof *took_ns);

    for (size_t i = 0; i < calls; i++)
        took_ns[i] = round_trip_ns((long)i);
    bench_peer.stop();
    bench_report_latency(took_ns, calls);
    free(took_ns);
}

static void measure(double scale)
{
    bench_start_warm();
    measure_started(scale);
}

BENCH_WORKLOAD_IF(apply, bench_peer.square && !bench_peer.always_spins)
{
    measure(scale);
}

BENCH_WORKLOAD_IF(apply_one_cpu, bench_peer.square && !bench_peer.always_spins)
{
    bench_use_one_cpu();
    measure(scale);
}

/* The caller on one, the only worker on the other: the scheduler has no choice. */
BENCH_WORKLOAD_IF(apply_two_cpus, bench_peer.processes)
{
    bench_peer.start(1);
    bench_part_from_worker();
    for (long i = 0; i < BENCH_WARM_UP; i++)
        round_trip_ns(i);
    measure_started(scale);
}

BENCH_WORKLOAD_IF(apply_spin, bench_peer.always_spins || bench_peer.spin)
{
    if (bench_peer.spin)
        bench_peer.spin();
    measure(scale);
}
