/* SPDX-License-Identifier: MIT */
/*
 * Workers that write all over what they can write while everybody works: a thread in a task
 * rewrites its worker's seat and the claims, as noise or as what could be true, until the task
 * returns, crashes, exits, hangs or is killed.
 *
 * Never a crash of client or supervisor.  As long as it is the seat alone, every task of
 * another worker has its right result, as if nothing was.  When it is the claims, and the
 * worker dies of it or the damage ends with its task, each result is right or an error, and
 * none is missing.
 */
#include <errno.h>
#include <procpool.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "harness.h"
#include "queue/claims.h"
#include "trials.h"
#include "worker/worker.h"

enum { WORKERS = 3, HOSTILE = 2, ITEMS = 64 };

enum { SEAT = 1, CLAIMS = 2 }; /* what is written to */

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

struct words {
    long number;
    char text[40]; /* too large for a record: it goes through the outbox */
};

static struct words spell(long x)
{
    struct words words = { .number = x };

    snprintf(words.text, sizeof words.text, "%ld squared is %ld", x, x * x);
    return words;
}
PP_TASK(struct words, spell, long, x);

/* ---- The hostile task ---- */

struct vandal {
    struct ppi_worker *worker;
    unsigned powers, seed;
};

static uint64_t any(struct vandal *vandal, uint64_t tail)
{
    unsigned choice = (unsigned)rand_r(&vandal->seed);
    uint64_t noise = (uint64_t)(unsigned)rand_r(&vandal->seed) << 33 | choice;

    switch (choice >> 4 & 7) {
    case 0:
        return noise;
    case 1:
        return UINT64_MAX - noise % 16;
    case 2:
        return noise % 16;
    case 3:
        return tail + noise % 8;
    default:
        return tail - noise % 64; /* a position that somebody has, or had */
    }
}

static void spoil_seat(struct vandal *vandal, uint64_t tail)
{
    struct ppi_seat_shm *seat = vandal->worker->seat.shm;
    unsigned choice = (unsigned)rand_r(&vandal->seed);
    struct ppi_record_shm *record =
        &seat->records[(atomic_load(&seat->tail) - choice / 16 % 3) % PPI_RECORDS];

    switch (choice % 8) {
    case 0:
        atomic_fetch_add(&seat->tail, 1);
        break;
    case 1: /* another's task, or an old one */
        *record = (struct ppi_record_shm){ .position = any(vandal, tail), .count = 1,
                                           .payload_size = sizeof(long), .outcome = PPI_OK,
                                           .flags = PPI_LAST };
        atomic_fetch_add(&seat->tail, 1);
        break;
    case 2:
        record->position = any(vandal, tail);
        break;
    case 3:
        record->payload = any(vandal, tail);
        record->payload_size = any(vandal, tail);
        break;
    case 4:
        atomic_store(&seat->intent, any(vandal, tail));
        break;
    case 5:
        atomic_store(&seat->runs, any(vandal, tail));
        break;
    default: /* anything in front of the crash report */
        ((uint64_t *)(void *)seat)[(unsigned)rand_r(&vandal->seed) %
                                   (offsetof(struct ppi_seat_shm, crash) / 8)] =
            any(vandal, tail);
    }
}

static void spoil_claims(struct vandal *vandal, uint64_t tail)
{
    struct ppi_claims_shm *claims = vandal->worker->seat.queue->claims;
    uint64_t position = tail - (unsigned)rand_r(&vandal->seed) % 64, word = any(vandal, tail);
    unsigned choice = (unsigned)rand_r(&vandal->seed) % 16;

    if (choice == 0)
        atomic_store(&claims->head, any(vandal, tail));
    else if (choice == 1) /* anything in front of the words: who sleeps, and on what */
        ((uint64_t *)(void *)claims)[(unsigned)rand_r(&vandal->seed) %
                                     (offsetof(struct ppi_claims_shm, words) / 8)] = word;
    else if (choice < 4)
        atomic_store(&claims->words[(unsigned)rand_r(&vandal->seed) % PPI_WINDOW], word);
    else
        atomic_store(&claims->words[position % PPI_WINDOW],
                     ppi_claim_word(position, (enum ppi_claim_state)(choice % 5),
                                    (unsigned)rand_r(&vandal->seed) % 8));
}

static _Noreturn void *spoil(void *what)
{
    struct vandal *vandal = what;

    for (;;) {
        uint64_t tail = atomic_load(&vandal->worker->seat.queue->shm->tail);

        if (vandal->powers & SEAT)
            spoil_seat(vandal, tail);
        if (vandal->powers & CLAIMS)
            spoil_claims(vandal, tail);
    }
}

/* How its task ends. */
enum end { CRASHES, EXITS, IS_KILLED, HANGS, RETURNS, ENDS };

static void end(unsigned how)
{
    switch (how % ENDS) {
    case CRASHES:
        raise(SIGSEGV);
        break;
    case EXITS:
        _exit(3);
    case HANGS:
        for (;;)
            pause();
    case IS_KILLED:
        kill(getpid(), SIGKILL);
        break;
    default:
        break;
    }
}

/* Which of the hostile tasks were begun. */
static atomic_bool *begun;

/*
 * One that returns leaves its thread behind, which goes on while the worker does other things.
 * One whose seat says that it has not begun is run again.  By then its worker may have done
 * others' tasks whose records nobody has taken in: they are on the same seat, and not safe.
 */
static long be_hostile(unsigned powers, unsigned seed, unsigned how)
{
    struct vandal *vandal = calloc(1, sizeof *vandal);
    struct timespec meanwhile = { .tv_nsec = 1000 * (long)(seed % 5000) };
    pthread_t thread;

    *vandal = (struct vandal){ .worker = ppi_current_worker, .powers = powers, .seed = seed };
    if (atomic_exchange(&begun[seed % HOSTILE], true) && powers == SEAT)
        end(how);
    if (pthread_create(&thread, NULL, spoil, vandal) != 0)
        return -1;
    nanosleep(&meanwhile, NULL);
    end(how);
    return 0;
}
PP_TASK(long, be_hostile, unsigned, powers, unsigned, seed, unsigned, how);

/* ---- What comes of it ---- */

struct work {
    pp_result *squares[ITEMS], *map, *hostile[HOSTILE];
    long items[ITEMS];
};

static void begin_others(pp_pool *pool, struct work *work)
{
    for (long i = 0; i < ITEMS; i++) {
        work->items[i] = i;
        work->squares[i] = pp_apply_async(pool, PP_CALL(square, i));
        CHECK(work->squares[i] != NULL);
    }
    work->map = pp_map_async(pool, spell, work->items, ITEMS, .chunksize = 5);
    CHECK(work->map != NULL);
}

/* The hostile tasks come first: their workers have done nothing before. */
static void begin(pp_pool *pool, struct work *work, unsigned powers, unsigned seed, unsigned ends)
{
    for (unsigned i = 0; i < HOSTILE; i++) {
        work->hostile[i] =
            pp_apply_async(pool, PP_CALL(be_hostile, powers, seed * HOSTILE + i, (seed + i) % ends),
                           .time_limit = 0.3 * harness_time_factor());
        CHECK(work->hostile[i] != NULL);
    }
    begin_others(pool, work);
}

static bool is_lost(int error)
{
    return error == PP_ECRASHED || error == PP_EBROKEN || error == PP_ETIMELIMIT;
}

/* All of the others' tasks; those that are lost are counted. */
static size_t check_others(const struct work *work)
{
    const double patience = 20 * harness_time_factor();
    struct words values[ITEMS];
    size_t lost = 0;
    int error;

    for (long i = 0; i < ITEMS; i++) {
        long value = -1;

        error = pp_get(work->squares[i], &value, .timeout = patience);
        CHECK(is_lost(error) || (error == 0 && value == i * i));
        lost += error != 0;
    }
    error = pp_get(work->map, values, .timeout = patience);
    CHECK(error == 0 || is_lost(error));
    for (long i = 0; i < ITEMS && error == 0; i++) {
        struct words right = spell(i);

        CHECK_EQ(values[i].number, right.number);
        CHECK_STR(values[i].text, right.text);
    }
    return lost + (error != 0);
}

static pp_pool *new_pool(unsigned seed)
{
    pp_pool *pool;

    begun = mmap(NULL, HOSTILE * sizeof *begun, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(begun != MAP_FAILED);
    pool = pp_pool_new(.processes = WORKERS);
    CHECK(pool != NULL);
    if (seed % 100 == 0)
        fprintf(stderr, "seed %u\n", seed);
    return pool;
}

static void finish(pp_pool *pool)
{
    (void)pp_stats_of(pool);
    pp_terminate(pool);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(munmap(begun, HOSTILE * sizeof *begun), 0);
}

TEST(own_seat, .timeout = 1200)
{
    for (unsigned seed = 1; seed <= trials(40, 2000); seed++) {
        pp_pool *pool = new_pool(seed);
        struct work work;

        begin(pool, &work, SEAT, seed, RETURNS);
        CHECK_EQ(check_others(&work), 0);
        finish(pool);
    }
}

TEST(claims, .timeout = 1200)
{
    size_t lost = 0;

    for (unsigned seed = 1; seed <= trials(40, 2000); seed++) {
        pp_pool *pool = new_pool(seed);
        struct work work;

        begin(pool, &work, CLAIMS, seed, HANGS); /* no limit is kept of what nobody has */
        lost += check_others(&work);
        for (unsigned i = 0; i < HOSTILE; i++)
            CHECK(is_lost(pp_get(work.hostile[i], NULL, .timeout = 20 * harness_time_factor())));
        finish(pool);
    }
    fprintf(stderr, "%zu results were lost\n", lost);
}

/* Nothing is sure but that the pool can be looked at, waited for and ended. */
TEST(all_at_once, .timeout = 1200)
{
    for (unsigned seed = 1; seed <= trials(20, 1000); seed++) {
        pp_pool *pool = new_pool(seed);
        struct work work;

        begin(pool, &work, SEAT | CLAIMS, seed, ENDS);
        for (long i = 0; i < ITEMS; i++)
            pp_wait(work.squares[i], i == 0 ? 0.05 : 0.001);
        pp_wait(work.map, 0.01);
        finish(pool);
    }
}

/* ---- Who does damage, and lives ---- */

/* Not as above: when it returns it is over. */
static long spoil_and_return(unsigned seed)
{
    struct vandal vandal = { .worker = ppi_current_worker, .powers = CLAIMS, .seed = seed };

    for (unsigned i = 0; i < 200 + seed % 2000; i++)
        spoil_claims(&vandal, atomic_load(&vandal.worker->seat.queue->shm->tail));
    return 0;
}
PP_TASK(long, spoil_and_return, unsigned, seed);

/* Workers that are condemned for what has been done to them may still die. */
static void check_one_by_one(pp_pool *pool)
{
    for (long i = 0; i < ITEMS; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(square, i));
        long value = -1;
        int error = pp_get(result, &value, .timeout = 20 * harness_time_factor());

        CHECK(is_lost(error) || (error == 0 && value == i * i));
        pp_result_free(result);
    }
}

/* Nobody dies of it, so that nobody need look; and yet no result is missing. */
TEST(claims_of_a_worker_that_lives, .timeout = 1200)
{
    size_t lost = 0;

    for (unsigned seed = 1; seed <= trials(12, 2000); seed++) {
        pp_pool *pool = new_pool(seed);
        struct work work;

        for (unsigned i = 0; i < HOSTILE; i++)
            work.hostile[i] = pp_apply_async(pool, PP_CALL(spoil_and_return, seed * HOSTILE + i));
        begin_others(pool, &work);
        lost += check_others(&work);
        for (unsigned i = 0; i < HOSTILE; i++) {
            int error = pp_get(work.hostile[i], NULL, .timeout = 20 * harness_time_factor());

            CHECK(error == 0 || is_lost(error));
        }
        check_one_by_one(pool);
        finish(pool);
    }
    fprintf(stderr, "%zu results were lost\n", lost);
}

/* ---- Who lies, but works ---- */

/* Commits a record of no task before its own. */
static long lie(long x)
{
    const struct ppi_record_shm record = { .position = 4711, .count = 1, .outcome = PPI_OK };

    ppi_seat_commit(&ppi_current_worker->seat, &record, 0);
    return x;
}
PP_TASK(long, lie, long, x);

static void send_supervisor(const pp_pool *pool, int signal)
{
    CHECK_EQ(syscall(SYS_pidfd_send_signal, pool->supervisor, signal, NULL, 0), 0);
}

static uint64_t records_of_all(const pp_pool *pool)
{
    uint64_t records = 0;

    for (unsigned seat = 0; seat < pool->queue->seats; seat++)
        records += atomic_load(&ppi_queue_seat(pool->queue, seat)->tail);
    return records;
}

/* It is about to be killed: who heard of its result before could give it new work to die with. */
TEST(nothing_is_taken_from_a_liar_until_it_is_dead)
{
    pp_pool *pool = pp_pool_new(.processes = 1);
    pp_result *result;
    long value = 0;

    CHECK(pool != NULL);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), &value), 0);
    send_supervisor(pool, SIGSTOP);
    result = pp_apply_async(pool, PP_CALL(lie, 7));
    CHECK_SOON(records_of_all(pool) == 3);
    CHECK(!pp_ready(result));
    CHECK_EQ(pp_get(result, &value, .timeout = 0.01), -ETIMEDOUT);
    send_supervisor(pool, SIGCONT);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(pp_stats_of(pool).deaths, 1);
    for (long i = 0; i < ITEMS; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(square, i), &value), 0);
        CHECK_EQ(value, i * i);
    }
    pp_result_free(result);
    CHECK_EQ(pp_pool_free(pool), 0);
}
