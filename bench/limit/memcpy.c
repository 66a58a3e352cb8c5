/* SPDX-License-Identifier: MIT */
/* echo_64MB: one plain copy between two buffers of one process, all pages present. */
#include "harness/bench.h"

#include <stdlib.h>
#include <string.h>

BENCH_WORKLOAD(echo_64MB)
{
    size_t size = 64 << 20, copies = bench_count(10, scale);
    char *from = bench_alloc(size), *to = bench_alloc(size);
    uint64_t *took_ns = bench_alloc(copies * sizeof *took_ns);

    for (size_t i = 0; i < copies; i++) {
        memset(from, (int)i, size);

        uint64_t begin_ns = bench_now_ns();

        memcpy(to, from, size);
        took_ns[i] = bench_now_ns() - begin_ns;
        bench_check(memcmp(to, from, size) == 0, "memcpy: wrong bytes");
    }
    bench_report_rate(size, took_ns, copies, "B/s");
    free(from);
    free(to);
    free(took_ns);
}
