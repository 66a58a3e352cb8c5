/* SPDX-License-Identifier: MIT */
/*
 * apply_shared: a call whose argument is the address of bytes in shared memory, of which it
 * reads the first and the last: 8 of them and 64 MB in turn.
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

static long ends(const unsigned char *bytes, size_t size)
{
    return bytes[0] * 256L + bytes[size - 1];
}
PP_TASK(long, ends, const unsigned char *, bytes, size_t, size);

static unsigned char *make(pp_pool *pool, size_t size)
{
    unsigned char *bytes = pp_shared_alloc(pool, size);

    bench_check(bytes != NULL, "apply_shared: no shared memory");
    memset(bytes, 1, size);
    return bytes;
}

static uint64_t call_ns(pp_pool *pool, unsigned char *bytes, size_t size, long x)
{
    long value = -1;

    bytes[0] = (unsigned char)(x & 127);
    bytes[size - 1] = (unsigned char)(x & 63);

    uint64_t begin_ns = bench_now_ns();
    int error = pp_apply(pool, PP_CALL(ends, bytes, size), &value);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0 && value == (x & 127) * 256 + (x & 63),
                "apply_shared: wrong result");
    return took_ns;
}

BENCH_WORKLOAD(apply_shared)
{
    const size_t sizes[] = { 8, 64 << 20 };
    const char *const metrics[] = { "of_8B", "of_64MB" };
    size_t calls = bench_count(5000, scale);
    uint64_t *took_ns[2];
    unsigned char *bytes[2];
    pp_pool *pool = warm_pool_that(PP_SPIN_NEVER);

    for (int i = 0; i < 2; i++) {
        took_ns[i] = bench_alloc(calls * sizeof **took_ns);
        bytes[i] = make(pool, sizes[i]);
    }
    for (size_t n = 0; n < calls; n++)
        for (int i = 0; i < 2; i++)
            took_ns[i][n] = call_ns(pool, bytes[i], sizes[i], (long)n);
    stop_pool(pool);
    for (int i = 0; i < 2; i++) {
        bench_report_median_s(metrics[i], took_ns[i], calls);
        free(took_ns[i]);
    }
}
