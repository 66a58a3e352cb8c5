/* SPDX-License-Identifier: MIT */
/*
 * payloads: seconds for a call with 8 B to 1 GiB, which are copied there and back or lie in
 * shared memory, beside one memcpy.
 */
#include "curve.h"

#include <stdlib.h>
#include <string.h>

static pp_bytes echo(pp_bytes bytes)
{
    void *made = pp_reserve(bytes.size);

    if (!made)
        pp_raise(1, "out of memory");
    return (pp_bytes){ memcpy(made, bytes.data, bytes.size), bytes.size };
}
PP_TASK(pp_bytes, echo, pp_bytes, bytes);

static long last_of(const unsigned char *bytes, size_t size)
{
    return bytes[size - 1];
}
PP_TASK(long, last_of, const unsigned char *, bytes, size_t, size);

struct payload {
    pp_pool *pool;
    unsigned char *data, *copy, *shared;
    size_t size;
};

static uint64_t echo_ns(void *data)
{
    const struct payload *payload = data;
    pp_bytes sent = { payload->data, payload->size }, back = { NULL, 0 };
    uint64_t begin_ns = bench_now_ns();
    int error = pp_apply(payload->pool, PP_CALL(echo, sent), &back);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0 && back.size == sent.size &&
                    ((const unsigned char *)back.data)[sent.size - 1] == 1,
                "payloads: wrong bytes");
    begin_ns = bench_now_ns();
    free((void *)back.data);
    return took_ns + (bench_now_ns() - begin_ns);
}

static uint64_t shared_ns(void *data)
{
    const struct payload *payload = data;
    long value = -1;
    uint64_t begin_ns = bench_now_ns();
    int error = pp_apply(payload->pool, PP_CALL(last_of, payload->shared, payload->size),
                         &value);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0 && value == 1, "payloads: wrong bytes");
    return took_ns;
}

static uint64_t copy_ns(void *data)
{
    const struct payload *payload = data;
    uint64_t begin_ns = bench_now_ns();

    memcpy(payload->copy, payload->data, payload->size);

    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(payload->copy[payload->size - 1] == 1, "payloads: wrong bytes");
    return took_ns;
}

BENCH_WORKLOAD(payloads)
{
    size_t most = scale < 1 ? 32u << 20 : 1u << 30;

    for (size_t size = 8; size <= most; size *= 8) {
        struct payload payload = { curve_pool(BENCH_WORKERS), bench_alloc(size),
                                   bench_alloc(size), NULL, size };

        payload.shared = curve_shared(payload.pool, size);
        memset(payload.shared, 1, size);
        curve_point("memcpy", (double)size, curve_median_s(copy_ns, &payload, 0.1 * scale));
        curve_point("copied", (double)size, curve_median_s(echo_ns, &payload, 0.3 * scale));
        curve_point("shared", (double)size, curve_median_s(shared_ns, &payload, 0.1 * scale));
        curve_stop(payload.pool);
        free(payload.data);
        free(payload.copy);
    }
}
