/* SPDX-License-Identifier: MIT */
/* What the workloads share: see harness/peer.h. */
#include "harness/peer.h"

long *bench_in, *bench_out;

void bench_arrays(size_t count)
{
    bench_in = bench_shared(count * sizeof *bench_in);
    bench_out = bench_shared(count * sizeof *bench_out);
    bench_items(bench_in, count);
}

void bench_free_arrays(size_t count)
{
    bench_unshare(bench_in, count * sizeof *bench_in);
    bench_unshare(bench_out, count * sizeof *bench_out);
}

void bench_square_range(long from, long to)
{
    for (long i = from; i < to; i++)
        bench_out[i] = bench_call_square(bench_in[i]);
}

static void nothing(long from, long to)
{
    (void)from;
    (void)to;
}

void bench_start_warm(void)
{
    bench_peer.start(BENCH_WORKERS);
    for (long i = 0; i < BENCH_WARM_UP; i++)
        if (bench_peer.square)
            bench_check(bench_peer.square(i) == i * i, "a call failed");
        else
            bench_peer.run(nothing, BENCH_WORKERS, 1);
}
