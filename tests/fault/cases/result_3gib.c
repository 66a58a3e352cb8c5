/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "standard.h"

static pp_bytes make(size_t size)
{
    char *data = pp_reserve(size);

    if (!data)
        pp_raise(errno, "%zu bytes", size);
    memset(data, 0, size);
    data[0] = 1;
    data[size / 2] = 2;
    data[size - 1] = 3;
    return (pp_bytes){ data, size };
}
PP_TASK(pp_bytes, make, size_t, size);

static size_t peak(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss << 10;
}

static bool has_memory(size_t size)
{
    return (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) > size;
}

CASE(result_3gib, .python = "c25_result_3gb", .limit = 600,
     .title = "a result of 3 GiB (64 MiB in short runs)",
     .must = "it arrives, in little more memory of the client than its own, or is an error")
{
    size_t size = full_size((size_t)64 << 20, (size_t)3 << 30);
    pp_pool *pool = pool_of(2);
    pp_bytes bytes = { 0 };
    pp_result *result;
    size_t before = peak();
    double begun;

    if (!has_memory(4 * size))
        SKIP("there is not enough memory");
    begun = harness_now();
    result = pp_apply_async(pool, PP_CALL(make, size));
    CHECK_EQ(pp_get(result, &bytes, .timeout = 500), 0);
    saw("arrived in %.2f s", harness_now() - begun);
    CHECK_EQ(bytes.size, size);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ(((const char *)bytes.data)[i * (size / 2) - i / 2], i + 1);
    saw("peak of the client: %.2f times its size", (double)(peak() - before) / (double)size);
    CHECK(peak() - before < 3 * size || HARNESS_SANITIZED);
    check_bystanders(pool);
    saw("20 of 20 others right");
    end_pool(pool);
}
