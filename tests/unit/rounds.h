/* SPDX-License-Identifier: MIT */
/*
 * rounds.h - property tests: many rounds, each a sequence that follows from a seed
 *
 *     FOR_ROUNDS(random, 100) {
 *         size_t size = random_below(&random, 64);
 *         HOLDS(random, size < 64);
 *     }
 *
 * What fails says its seed, with which it can be run again.  Environment:
 *
 *     PP_SEED=n     one round only, with this seed
 *     PP_ROUNDS=n   n times as many rounds as usual: a hunt
 */
#ifndef TESTS_UNIT_ROUNDS_H
#define TESTS_UNIT_ROUNDS_H

#include <stdint.h>
#include <stdlib.h>

#include "harness.h"

struct random {
    uint64_t state;
    uint64_t seed; /* of this round; rounds count from 1 */
};

/* Steele, Lea and Flood's SplitMix64. */
static inline uint64_t random_next(struct random *random)
{
    uint64_t x = random->state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Of 0 to n - 1. */
static inline unsigned random_below(struct random *random, size_t n)
{
    return (unsigned)((random_next(random) >> 32) * n >> 32);
}

/* True in so many cases of a hundred. */
static inline bool random_percent(struct random *random, unsigned percent)
{
    return random_below(random, 100) < percent;
}

/* Of 1 to 2^bits, small ones as likely as large ones. */
static inline size_t random_size(struct random *random, unsigned bits)
{
    return 1 + random_next(random) % ((size_t)1 << random_below(random, bits + 1));
}

/* Fewer where everything is slower. */
static inline uint64_t rounds_in_all(uint64_t usual)
{
    const char *factor = getenv("PP_ROUNDS");

    if (HARNESS_SANITIZED || harness_on_valgrind())
        usual = usual / (harness_on_valgrind() ? 20 : 4) + 1;
    return usual * (factor ? strtoull(factor, NULL, 10) : 1);
}

static inline bool next_round(struct random *random, uint64_t usual)
{
    const char *seed = getenv("PP_SEED");

    if (seed && random->seed != 0)
        return false;
    random->seed = seed ? strtoull(seed, NULL, 10) : random->seed + 1;
    random->state = random->seed * UINT64_C(0x2545f4914f6cdd1d);
    return seed || random->seed <= rounds_in_all(usual);
}

#define FOR_ROUNDS(random_, usual_)                                                        \
    for (struct random random_ = { 0 }; next_round(&random_, (usual_));)

#define HOLDS(random_, condition)                                                          \
    ((condition) ? (void)0 : FAIL_ROUND(random_, "not true: " #condition))

#define FAIL_ROUND(random_, text)                                                          \
    FAIL("with PP_SEED=%llu: %s", (unsigned long long)(random_).seed, (text))

#endif
