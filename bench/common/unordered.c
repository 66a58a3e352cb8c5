/* SPDX-License-Identifier: MIT */
/* imap_unordered: squares, one item per task, taken as they come. */
#include "harness/peer.h"

enum { TIMES = 5 };

static long sum_of_squares(long count)
{
    long sum = 0;

    for (long i = 0; i < count; i++)
        sum += i * i;
    return sum;
}

BENCH_WORKLOAD_IF(imap_unordered, bench_peer.unordered)
{
    long count = (long)bench_count(100000, scale), sum = sum_of_squares(count);
    uint64_t took_ns[TIMES];

    bench_start_warm();
    bench_check(bench_peer.unordered(count) == sum, "imap_unordered: wrong result");
    for (int i = 0; i < TIMES; i++) {
        uint64_t begin_ns = bench_now_ns();
        long got = bench_peer.unordered(count);

        took_ns[i] = bench_now_ns() - begin_ns;
        bench_check(got == sum, "imap_unordered: wrong result");
    }
    bench_peer.stop();
    bench_report_rate((size_t)count, took_ns, TIMES, "/s");
}
