/* SPDX-License-Identifier: MIT */
#include "base/random.h"

#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/clock.h"

/* The finalizer of splitmix64 (Steele, Lea and Flood, 2014): a bijection. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t ppi_random(void)
{
    uint64_t number;

    if (getrandom(&number, sizeof number, GRND_NONBLOCK) == (ssize_t)sizeof number)
        return number;
    return mix(mix(ppi_now_ns()) ^ (uint64_t)gettid()); /* at boot, or by a filter of calls */
}

uint64_t ppi_worker_seed(uint64_t pool_seed, uint32_t id, uint32_t life)
{
    return mix(pool_seed ^ mix((uint64_t)life << 32 | id));
}
