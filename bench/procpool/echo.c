/* SPDX-License-Identifier: MIT */
/*
 * echo: bytes to a worker and back, from and to ordinary memory, by a task that returns its
 * argument; echo_made: by one that makes new bytes for its result.  What counts is the call
 * and freeing its value; the comparison of the bytes does not.
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

static pp_bytes echo(pp_bytes bytes)
{
    return bytes;
}
PP_TASK(pp_bytes, echo, pp_bytes, bytes);

static pp_bytes echo_made(pp_bytes bytes)
{
    void *made = pp_reserve(bytes.size);

    if (!made)
        pp_raise(1, "out of memory");
    return (pp_bytes){ memcpy(made, bytes.data, bytes.size), bytes.size };
}
PP_TASK(pp_bytes, echo_made, pp_bytes, bytes);

typedef int echo_call(pp_pool *pool, pp_bytes sent, pp_bytes *back);

static int call_echo(pp_pool *pool, pp_bytes sent, pp_bytes *back)
{
    return pp_apply(pool, PP_CALL(echo, sent), back);
}

static int call_echo_made(pp_pool *pool, pp_bytes sent, pp_bytes *back)
{
    return pp_apply(pool, PP_CALL(echo_made, sent), back);
}

static uint64_t echo_ns(pp_pool *pool, echo_call *call, pp_bytes sent)
{
    pp_bytes back = { NULL, 0 };
    uint64_t begin_ns = bench_now_ns();
    int error = call(pool, sent, &back);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0, "echo: the call failed");
    bench_check(back.size == sent.size && memcmp(back.data, sent.data, sent.size) == 0,
                "echo: wrong bytes");
    begin_ns = bench_now_ns();
    free((void *)back.data);
    return took_ns + (bench_now_ns() - begin_ns);
}

/* Each call sends other bytes, so that nothing left from the last can pass. */
static void measure(echo_call *call, size_t size, size_t calls)
{
    char *data = bench_alloc(size);
    uint64_t *took_ns = bench_alloc(calls * sizeof *took_ns);
    pp_pool *pool = warm_pool();

    for (int i = 0; i < BENCH_ECHO_WARM_UP; i++)
        echo_ns(pool, call, (pp_bytes){ data, size });
    for (size_t i = 0; i < calls; i++) {
        memset(data, (int)i, size);
        took_ns[i] = echo_ns(pool, call, (pp_bytes){ data, size });
    }
    stop_pool(pool);
    bench_report_rate(size, took_ns, calls, "B/s");
    free(data);
    free(took_ns);
}

BENCH_WORKLOAD(echo_1KB)
{
    measure(call_echo, 1 << 10, bench_count(5000, scale));
}

BENCH_WORKLOAD(echo_1MB)
{
    measure(call_echo, 1 << 20, bench_count(200, scale));
}

BENCH_WORKLOAD(echo_64MB)
{
    measure(call_echo, 64 << 20, bench_count(10, scale));
}

BENCH_WORKLOAD(echo_made_1KB)
{
    measure(call_echo_made, 1 << 10, bench_count(5000, scale));
}

BENCH_WORKLOAD(echo_made_1MB)
{
    measure(call_echo_made, 1 << 20, bench_count(200, scale));
}

BENCH_WORKLOAD(echo_made_64MB)
{
    measure(call_echo_made, 64 << 20, bench_count(10, scale));
}
