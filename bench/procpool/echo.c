/* SPDX-License-Identifier: MIT */
/*
 * echo: bytes to a worker and back, from and to ordinary memory.  What counts is
 * the call and freeing its value; the comparison of the bytes does not.
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

static pp_bytes echo(pp_bytes bytes)
{
    return bytes;
}
PP_TASK(pp_bytes, echo, pp_bytes, bytes);

static uint64_t echo_ns(pp_pool *pool, pp_bytes sent)
{
    pp_bytes back = { NULL, 0 };
    uint64_t begin_ns = bench_now_ns();
    int error = pp_apply(pool, PP_CALL(echo, sent), &back);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0, "echo: the call failed");
    bench_check(back.size == sent.size && memcmp(back.data, sent.data, sent.size) == 0,
                "echo: wrong bytes");
    begin_ns = bench_now_ns();
    free((void *)back.data);
    return took_ns + (bench_now_ns() - begin_ns);
}

/* Each call sends other bytes, so that nothing left from the last can pass. */
static void measure_echo(size_t size, size_t calls)
{
    char *data = bench_alloc(size);
    uint64_t *took_ns = bench_alloc(calls * sizeof *took_ns);
    pp_pool *pool = warm_pool();

    echo_ns(pool, (pp_bytes){ data, size });
    for (size_t i = 0; i < calls; i++) {
        memset(data, (int)i, size);
        took_ns[i] = echo_ns(pool, (pp_bytes){ data, size });
    }
    stop_pool(pool);
    bench_report_rate(size, took_ns, calls, "B/s");
    free(data);
    free(took_ns);
}

BENCH_WORKLOAD(echo_1KB)
{
    measure_echo(1 << 10, bench_count(5000, scale));
}

BENCH_WORKLOAD(echo_1MB)
{
    measure_echo(1 << 20, bench_count(200, scale));
}

BENCH_WORKLOAD(echo_64MB)
{
    measure_echo(64 << 20, bench_count(5, scale));
}
