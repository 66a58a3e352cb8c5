/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "standard.h"

/* What is overwritten, and what its worker does then. */
enum way { CLAIMS_AND_DIE, ALL_AND_DIE, ALL_AND_EXIT, OWN_AND_GO_ON, WAYS };

enum { TASKS = 1000, PART = 4 << 20 };

/* The claim words, which are all workers', are not much; a worker's own part is. */
static const struct {
    size_t least, most;
    bool lives;
} ways[WAYS] = {
    [CLAIMS_AND_DIE] = { 0, 1 << 20, false },
    [ALL_AND_DIE] = { 0, SIZE_MAX, false },
    [ALL_AND_EXIT] = { 0, SIZE_MAX, false },
    [OWN_AND_GO_ON] = { 1 << 20, SIZE_MAX, true },
};

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

/* Over the beginning of a mapping: what comes after that is holes. */
static void scribble(unsigned char *begin, size_t size, unsigned *seed)
{
    if (size > PART)
        size = PART;
    for (size_t i = 0; i + 4 <= size; i += 4) {
        unsigned number = (unsigned)rand_r(seed) << 1 ^ (unsigned)rand_r(seed);

        memcpy(begin + i, &number, sizeof number);
    }
}

/* Over all of the pool's memory that this process may write, of such sizes. */
static void scribble_all(size_t least, size_t most, unsigned seed)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    struct {
        unsigned long begin, end;
    } found[64];
    size_t count = 0;
    char line[512], rights[8];

    while (maps && count < 64 && fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:procpool") &&
            sscanf(line, "%lx-%lx %7s", &found[count].begin, &found[count].end, rights) == 3 &&
            strncmp(rights, "rw", 2) == 0)
            count++;
    if (maps)
        fclose(maps);
    for (size_t i = 0; i < count; i++)
        if (found[i].end - found[i].begin >= least && found[i].end - found[i].begin <= most)
            scribble((unsigned char *)found[i].begin, found[i].end - found[i].begin, &seed);
}

static long run_amok(int way, unsigned seed)
{
    scribble_all(ways[way].least, ways[way].most, seed);
    fault_now();
    if (way == ALL_AND_EXIT)
        _exit(0);
    if (!ways[way].lives)
        raise(SIGKILL);
    return 1;
}
PP_TASK(long, run_amok, int, way, unsigned, seed);

/* Each of them is right, or an error. */
static unsigned count_lost(pp_result *const *results)
{
    unsigned lost = 0;

    for (long i = 0; i < TASKS; i++) {
        long value = -1;
        int error = get(results[i], &value);

        lost += error != 0;
        CHECK_EQ(error, error ? PP_ECRASHED : 0);
        CHECK_EQ(value, error ? -1 : i * i);
    }
    return lost;
}

/* How many others are errors. */
static unsigned attack(pp_pool *pool, enum way way, unsigned seed)
{
    pp_result *results[TASKS], *amok = NULL;

    for (long i = 0; i < TASKS; i++) {
        if (i == TASKS / 2)
            amok = pp_apply_async(pool, PP_CALL(run_amok, (int)way, seed));
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(square, i))) != NULL);
    }
    CHECK_EQ(get(amok, NULL), PP_ECRASHED);
    answered_now();
    return count_lost(results);
}

/* A worker that was about to begin what had a damaged word is ended to make sure, and may be
   at one of these then; how many that cost. */
static unsigned count_late(pp_pool *pool)
{
    struct bystanders all;
    int right;

    bystanders_submit(&all, pool, 0, BYSTANDERS);
    right = bystanders_right(&all);
    CHECK(right >= BYSTANDERS - 1);
    return (unsigned)(BYSTANDERS - right);
}

CASE(scribbles_on_memory, .limit = 300,
     .title = "a worker that writes garbage all over the shared memory that it can write",
     .must = "its task is an error; of others what it may have damaged is, and nothing is wrong; "
             "the pool works on")
{
    unsigned times = (unsigned)full_size(2, 100), lost[WAYS] = { 0 };

    for (unsigned i = 0; i < times * WAYS; i++) {
        pp_pool *pool = pool_of(2);
        unsigned now = attack(pool, i % WAYS, i + 1);

        CHECK(i % WAYS != CLAIMS_AND_DIE || now < 10); /* what was being claimed just then */
        lost[i % WAYS] += now + count_late(pool);
        await_replacement(pool);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
    saw("%u pools: PP_ECRASHED, none wrong; of %u others lost: %u with the claim words, %u and "
        "%u with all, %u with its own part",
        times * WAYS, times * TASKS, lost[0], lost[1], lost[2], lost[3]);
}
