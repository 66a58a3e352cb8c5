/* SPDX-License-Identifier: MIT */
/*
 * A task that writes all over what it can write, and then crashes.  Its own seat and
 * the claim words are all that it can damage: every other result is right or, when
 * its claim word was beyond repair, an error; nothing hangs.
 */
#include <procpool.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "queue/layout.h"

enum { TASKS = 1000, ROUNDS = 20 };

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

/* A mapping of the segment that this process may write, of at least this size. */
static void *find_writable(size_t least, size_t most)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[8];
    unsigned long begin, end;
    void *found = NULL;

    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:procpool") &&
            sscanf(line, "%lx-%lx %7s", &begin, &end, rights) == 3 &&
            strncmp(rights, "rw", 2) == 0 && end - begin >= least && end - begin <= most)
            found = (void *)begin;
    if (maps)
        fclose(maps);
    return found;
}

/* Scribbles over claim words, and every other time over the head. */
static long scribble_claims(unsigned seed)
{
    struct ppi_claims_shm *claims = find_writable(sizeof *claims, 2 * sizeof *claims);

    if (!claims)
        pp_raise(ENOENT, "the claims are not where they are looked for");
    for (int i = 0; i < 2000; i++)
        claims->words[(unsigned)rand_r(&seed) % PPI_WINDOW] =
            (uint64_t)rand_r(&seed) << 32 | (unsigned)rand_r(&seed);
    if (seed % 2)
        claims->head = (uint64_t)rand_r(&seed) << 20;
    raise(SIGSEGV);
    return 0;
}
PP_TASK(long, scribble_claims, unsigned, seed);

/* Scribbles over its own seat, the records of earlier results among it. */
static long scribble_seat(unsigned seed)
{
    struct ppi_seat_shm *seat = find_writable(2 * sizeof(struct ppi_claims_shm), SIZE_MAX);

    if (!seat)
        pp_raise(ENOENT, "the seat is not where it is looked for");
    for (size_t i = 0; i < sizeof *seat; i++)
        ((unsigned char *)seat)[i] = (unsigned char)rand_r(&seed);
    raise(SIGSEGV);
    return 0;
}
PP_TASK(long, scribble_seat, unsigned, seed);

/* What the other tasks come to; lost counts those that ended as crashed. */
static void check_others(pp_result *const *results, size_t *lost)
{
    for (long i = 0; i < TASKS; i++) {
        long value = -1;
        int error = pp_get(results[i], &value, .timeout = 10 * harness_time_factor());

        if (error == PP_ECRASHED) {
            ++*lost;
            continue;
        }
        CHECK_EQ(error, 0);
        CHECK_EQ(value, i * i);
    }
}

TEST(claims, .timeout = 120)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        pp_pool *pool = pp_pool_new(.processes = 2);
        pp_result *wild = pp_apply_async(pool, PP_CALL(scribble_claims, round));
        pp_result *results[TASKS];
        size_t lost = 0;

        for (long i = 0; i < TASKS; i++)
            results[i] = pp_apply_async(pool, PP_CALL(square, i));
        check_others(results, &lost);
        CHECK(lost < 10); /* at most what was being claimed at that moment */
        CHECK_EQ(pp_get(wild, NULL, .timeout = 10 * harness_time_factor()), PP_ECRASHED);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}

TEST(own_seat, .timeout = 120)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        pp_pool *pool = pp_pool_new(.processes = 2);
        pp_result *results[TASKS];
        pp_result *wild;
        size_t lost = 0;

        for (long i = 0; i < TASKS; i++)
            results[i] = pp_apply_async(pool, PP_CALL(square, i));
        wild = pp_apply_async(pool, PP_CALL(scribble_seat, round));
        check_others(results, &lost);
        CHECK(pp_get(wild, NULL, .timeout = 10 * harness_time_factor()) == PP_ECRASHED);
        CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), NULL), 0);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}
