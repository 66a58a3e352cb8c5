/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "standard.h"

enum { TASKS = 1000 };

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

/* Over a part of a mapping that holds something: all of it is much, and mostly holes. */
static void scribble(unsigned char *begin, size_t size, unsigned *seed)
{
    if (size > 4 << 20)
        size = 4 << 20;
    for (size_t i = 0; i + 4 <= size; i += 4) {
        unsigned number = (unsigned)rand_r(seed);

        memcpy(begin + i, &number, sizeof number);
    }
}

/* All of the pool's memory that this process may write, its own seat and the claims; then it
   goes on as if nothing had been. */
static long scribble_everywhere(unsigned seed)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long begin[64], end[64], count = 0;
    char line[512], rights[8];

    while (maps && count < 64 && fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:procpool") &&
            sscanf(line, "%lx-%lx %7s", &begin[count], &end[count], rights) == 3 &&
            strncmp(rights, "rw", 2) == 0)
            count++;
    if (maps)
        fclose(maps);
    fault_now();
    for (unsigned long i = 0; i < count; i++)
        scribble((unsigned char *)begin[i], end[i] - begin[i], &seed);
    return 1;
}
PP_TASK(long, scribble_everywhere, unsigned, seed);

/* Right, or an error: what was being claimed at that moment may be lost. */
static size_t count_lost(pp_result *const *results)
{
    size_t lost = 0;

    for (long i = 0; i < TASKS; i++) {
        long value = -1;
        int error = get(results[i], &value);

        lost += error != 0;
        if (error == 0)
            CHECK_EQ(value, i * i);
        else
            CHECK(error == PP_ECRASHED);
    }
    return lost;
}

static size_t attack(unsigned seed)
{
    pp_pool *pool = pool_of(2);
    pp_result *results[TASKS], *hostile = NULL;
    size_t lost;
    int error;

    for (long i = 0; i < TASKS; i++) {
        if (i == TASKS / 2)
            hostile = pp_apply_async(pool, PP_CALL(scribble_everywhere, seed));
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(square, i))) != NULL);
    }
    error = get(hostile, NULL);
    answered_now();
    CHECK(error == PP_ECRASHED || error == 0);
    lost = count_lost(results);
    check_bystanders(pool);
    end_pool(pool);
    return lost;
}

CASE(scribbles_on_memory, .limit = 120,
     .title = "a worker that writes garbage all over the shared memory that it can write",
     .must = "no result of others is wrong, few are errors, and the pool works on")
{
    unsigned times = (unsigned)full_size(5, 200);
    size_t lost = 0, most = 0;

    for (unsigned seed = 1; seed <= times; seed++) {
        size_t now = attack(seed);

        lost += now;
        most = now > most ? now : most;
    }
    saw("in %u pools: none wrong, %zu of %u others PP_ECRASHED, at most %zu at a time", times,
        lost, times * TASKS, most);
    CHECK(most < 10);
}
