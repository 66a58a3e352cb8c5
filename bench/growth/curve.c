/* SPDX-License-Identifier: MIT */
/* See curve.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "curve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { MAX_SAMPLES = 10000, MIN_SAMPLES = 2 };

void curve_point(const char *series, double x, double y)
{
    printf("%s %.9g %.6g\n", series, x, y);
    fflush(stdout);
}

double curve_median_s(uint64_t (*once_ns)(void *data), void *data, double seconds)
{
    static uint64_t samples_ns[MAX_SAMPLES];
    uint64_t end_ns;
    size_t count = 0;

    once_ns(data);
    end_ns = bench_now_ns() + (uint64_t)(seconds * 1e9);
    while (count < MAX_SAMPLES && (count < MIN_SAMPLES || bench_now_ns() < end_ns))
        samples_ns[count++] = once_ns(data);
    return (double)bench_percentile(samples_ns, count, 0.5) / 1e9;
}

pp_pool *curve_pool(int workers)
{
    pp_pool *pool = pp_pool_new(.processes = workers);

    bench_check(pool != NULL, "cannot create a pool");
    return pool;
}

void curve_stop(pp_pool *pool)
{
    bench_check(pp_close(pool) == 0 && pp_join(pool) == 0, "cannot stop the pool");
    pp_pool_free(pool);
}

void *curve_shared(pp_pool *pool, size_t size)
{
    void *memory = pp_shared_alloc(pool, size);

    bench_check(memory != NULL, "no shared memory");
    return memory;
}

void *curve_grow(size_t size)
{
    char *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    bench_check(memory != MAP_FAILED, "out of memory");
    bench_check(madvise(memory, size, MADV_NOHUGEPAGE) == 0 || errno == EINVAL,
                "cannot choose small pages");
    for (size_t i = 0; i < size; i += 4096)
        memory[i] = 1;
    return memory;
}
