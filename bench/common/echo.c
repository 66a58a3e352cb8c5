/* SPDX-License-Identifier: MIT */
/* echo: bytes to a worker, which makes a copy, and back.  Threads copy just once. */
#include "harness/peer.h"

#include <stdlib.h>
#include <string.h>

/* Each call sends other bytes, so that nothing left from the last can pass. */
static void measure(size_t size, size_t calls)
{
    char *from = bench_alloc(size), *to = bench_alloc(size);
    uint64_t *took_ns = bench_alloc(calls * sizeof *took_ns);

    bench_start_warm();
    for (int i = 0; i < BENCH_ECHO_WARM_UP; i++)
        bench_peer.echo(from, to, size);
    for (size_t i = 0; i < calls; i++) {
        memset(from, (int)i, size);

        uint64_t begin_ns = bench_now_ns();

        bench_peer.echo(from, to, size);
        took_ns[i] = bench_now_ns() - begin_ns;
        bench_check(memcmp(from, to, size) == 0, "echo: wrong bytes");
    }
    bench_peer.stop();
    bench_report_rate(size, took_ns, calls, "B/s");
    free(from);
    free(to);
    free(took_ns);
}

BENCH_WORKLOAD_IF(echo_1KB, bench_peer.echo)
{
    measure(1 << 10, bench_count(5000, scale));
}

BENCH_WORKLOAD_IF(echo_1MB, bench_peer.echo)
{
    measure(1 << 20, bench_count(200, scale));
}

BENCH_WORKLOAD_IF(echo_64MB, bench_peer.echo)
{
    measure(64 << 20, bench_count(10, scale));
}
