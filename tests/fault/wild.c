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
#include <unistd.h>

#include "harness.h"
#include "queue/layout.h"
#include "worker/worker.h"

enum { TASKS = 1000, ROUNDS = 20 };

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

/* The first mapping of the segment that this process may write, of such a size: claims,
   own seat, shared memory. */
static void *find_writable(size_t least, size_t most)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[8];
    unsigned long begin, end;
    void *found = NULL;

    while (maps && !found && fgets(line, sizeof line, maps))
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

/* ---- A crash report that is none ------------------------------------------- */

/* Some of it may pass for one. */
static void invent_report(struct ppi_crash_shm *report, unsigned *seed)
{
    for (size_t i = 0; i < sizeof *report; i++)
        ((unsigned char *)report)[i] = (unsigned char)rand_r(seed);
    report->signal = SIGSEGV;
    report->code = *seed % 2 ? 1 : (int)*seed;
    if (rand_r(seed) % 4)
        report->count = (uint32_t)rand_r(seed) % (PPI_CRASH_REGISTERS + 2);
    if (rand_r(seed) % 4)
        report->stack_size = (uint64_t)rand_r(seed) % (PPI_CRASH_STACK + 2);
    if (rand_r(seed) % 2)
        report->stack_at = report->sp;
    if (rand_r(seed) % 2)
        report->pc = (uint64_t)(uintptr_t)invent_report + (uint64_t)rand_r(seed) % 100;
}

static long lie_of_a_crash(unsigned seed)
{
    struct ppi_seat_shm *seat = ppi_current_worker->seat.shm;

    signal(SIGSEGV, SIG_DFL); /* nobody writes another */
    invent_report(&seat->crash, &seed);
    atomic_store(&seat->crashed, atomic_load(&seat->incarnation) + (seed % 8 == 0));
    raise(SIGSEGV);
    return 0;
}
PP_TASK(long, lie_of_a_crash, unsigned, seed);

/* Its words may be strange, and are words. */
TEST(own_report, .timeout = 60)
{
    pp_pool *pool = pp_pool_new(.processes = 1);

    for (unsigned round = 1; round <= 100; round++) {
        pp_error *error = NULL;

        CHECK_EQ(pp_apply(pool, PP_CALL(lie_of_a_crash, round), NULL, .error = &error),
                 PP_ECRASHED);
        CHECK_EQ(error->signal, SIGSEGV);
        CHECK(strncmp(error->message, "lie_of_a_crash(...) was killed by SIGSEGV", 41) == 0);
        CHECK(error->backtrace == NULL || strncmp(error->backtrace, "#0 ", 3) == 0);
        free(error);
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), NULL), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* ---- Records about where values lie ---------------------------------------- */

/* Commits a record of its own for the running item, and waits for what comes of it. */
static void lie(unsigned flags, size_t payload_size)
{
    struct ppi_worker *worker = ppi_current_worker;
    struct ppi_record_shm record = { .position = worker->position,
                                     .first = atomic_load(&worker->seat.shm->item),
                                     .count = 1,
                                     .payload_size = payload_size,
                                     .seat = (uint16_t)worker->seat.index,
                                     .outcome = PPI_OK,
                                     .flags = (uint8_t)flags };

    ppi_seat_commit(&worker->seat, &record, ppi_outbox_mark(&worker->seat.outbox));
    ppi_seat_tell(&worker->seat);
    for (;;)
        pause();
}

static long lie_of_value(unsigned flags, size_t size)
{
    lie(flags | PPI_LAST, size);
    return 0;
}
PP_TASK(long, lie_of_value, unsigned, flags, size_t, size);

static void lie_of_nothing(unsigned flags, size_t size)
{
    lie(flags | PPI_LAST, size);
}
PP_TASK(void, lie_of_nothing, unsigned, flags, size_t, size);

/* Who says so is not believed, but ended. */
static void check_lie(pp_pool *pool, const pp_task *task, unsigned flags, size_t size, long *out)
{
    PP_ARGS(lie_of_value) item = { flags, size };
    pp_error *error = NULL;
    pp_map_options options = { .size = sizeof options, .error = &error };

    CHECK_EQ(pp_map_with(pool, task, &item, 1, out, &options), PP_ECRASHED);
    CHECK(error && error->signal == SIGKILL);
    free(error);
}

TEST(values_that_are_said_to_be_elsewhere, .timeout = 60)
{
    pp_pool *pool = pp_pool_new(.processes = 1);
    long own = 5, *shared = pp_shared_alloc(pool, sizeof *shared);

    *shared = 6;
    check_lie(pool, &lie_of_value_pp_task, PPI_IN_PLACE, 0, &own);
    check_lie(pool, &lie_of_value_pp_task, PPI_IN_PLACE, sizeof own, &own);
    check_lie(pool, &lie_of_value_pp_task, PPI_IN_PLACE, 0, NULL);
    check_lie(pool, &lie_of_nothing_pp_task, PPI_IN_PLACE, 0, shared);
    check_lie(pool, &lie_of_value_pp_task, 0, sizeof *shared, shared);
    check_lie(pool, &lie_of_value_pp_task, 0, 0, shared);
    check_lie(pool, &lie_of_value_pp_task, PPI_IN_PLACE, sizeof *shared, shared);
    CHECK_EQ(own, 5);
    CHECK_EQ(*shared, 6);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* ---- A record in the middle of a chunk ------------------------------------- */

static long lie_at_two(long x)
{
    if (x == 2)
        lie(0, 3);
    return 10 * x;
}
PP_TASK(long, lie_at_two, long, x);

/* What it says is done is not, and the item after that is lost to its death, as if it had
   gone on to it; what comes then is run by others. */
TEST(a_value_of_another_size_within_a_chunk, .timeout = 60)
{
    pp_pool *pool = pp_pool_new(.processes = 2);
    const long items[] = { 0, 1, 2, 3, 4, 5 };
    long values[6];
    pp_result *result = pp_map_async(pool, lie_at_two, items, 6, .chunksize = 6);

    CHECK_EQ(pp_get(result, values), PP_ECRASHED);
    CHECK_EQ(pp_failures(result), 4);
    CHECK_EQ(pp_failure(result, 3)->index, 3);
    for (long i = 4; i < 6; i++)
        CHECK_EQ(values[i], 10 * i);
    CHECK_EQ(pp_pool_free(pool), 0);
}
