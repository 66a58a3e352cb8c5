/* SPDX-License-Identifier: MIT */
/*
 * Tasks that damage the claims part and live.  Nobody dies of it, so that nobody need look; and
 * yet no result stays away, whoever waits for it, and however.
 *
 * None of the waits for a result has a limit of its own: the tests' would end a hang.
 */
#include <poll.h>
#include <procpool.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/client.h"
#include "harness.h"
#include "queue/claims.h"
#include "worker/worker.h"

static pp_pool *new_pool(int workers, pp_callbacks callbacks)
{
    pp_pool *pool = pp_pool_new(.processes = workers, .callbacks = callbacks);

    CHECK(pool != NULL);
    return pool;
}

static void finish(pp_pool *pool)
{
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* ---- What is done to the task that comes next ---- */

enum damage {
    WITHDRAWN,      /* nobody may run it */
    FORGOTTEN,      /* it is of another generation */
    HELD,           /* its word names the worker that does the damage, which does not know */
    HANDED_BACK,    /* as if a worker had died with it, which is not said where it counts */
    HIDDEN,         /* head is beyond it */
    KINDS_OF_DAMAGE
};

static void damage_word(struct ppi_claims_shm *claims, uint64_t position, enum damage damage,
                        unsigned seat)
{
    _Atomic uint64_t *word = &claims->words[position % PPI_WINDOW];

    switch (damage) {
    case WITHDRAWN:
        atomic_store(word, ppi_claim_word(position, PPI_WITHDRAWN, 0));
        break;
    case FORGOTTEN:
        atomic_store(word, ppi_claim_word(position + PPI_WINDOW, PPI_QUEUED, 0));
        break;
    case HELD:
        atomic_store(word, ppi_claim_word(position, PPI_CLAIMED, seat));
        break;
    case HANDED_BACK:
        atomic_store(word, ppi_claim_word(position, PPI_REQUEUED, 0));
        break;
    default:
        atomic_store(&claims->head, position + 1);
    }
}

/* Waits until there is a next one. */
static long damage_next(enum damage damage)
{
    const struct ppi_worker *worker = ppi_current_worker;
    struct ppi_queue *queue = worker->seat.queue;
    uint64_t next = worker->position + 1;

    while (atomic_load(&queue->shm->tail) <= next)
        harness_nap();
    damage_word(queue->claims, next, damage, worker->seat.index);
    return 0;
}
PP_TASK(long, damage_next, enum damage, damage);

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

/* A result may have been lost, but not silently, nor be another's. */
static bool is_right(int error, long value, long wanted)
{
    return error == 0 ? value == wanted : error == PP_ECRASHED;
}

/* Two tasks for the one worker, of which the first damages the second. */
struct pair {
    pp_pool *pool;
    pp_result *first, *second;
    atomic_int calls; /* of their callbacks */
};

static void count(pp_result *result, void *pair)
{
    (void)result;
    ((struct pair *)pair)->calls++;
}

/* Does each damage, waits in this way, and then expects both results to be there. */
static void try_each(void (*wait)(struct pair *pair), pp_callback *callback,
                     pp_callbacks where)
{
    for (enum damage damage = 0; damage < KINDS_OF_DAMAGE; damage++) {
        struct pair pair = { .pool = new_pool(1, where) };
        long value = -1;
        int error;

        pair.first = pp_apply_async(pair.pool, PP_CALL(damage_next, damage),
                                    .callback = callback, .user = &pair);
        pair.second = pp_apply_async(pair.pool, PP_CALL(square, 12), .callback = callback,
                                     .error_callback = callback, .user = &pair);
        CHECK(pair.first != NULL && pair.second != NULL);
        wait(&pair);
        CHECK_EQ(pp_get(pair.first, NULL), 0);
        error = pp_get(pair.second, &value);
        CHECK(is_right(error, value, 144));
        pp_result_free(pair.first);
        pp_result_free(pair.second);
        finish(pair.pool);
    }
}

/* ---- However one waits ---- */

static void get_first(struct pair *pair)
{
    CHECK_EQ(pp_get(pair->first, NULL), 0);
}

TEST(who_waits_for_the_last_one)
{
    try_each(get_first, NULL, PP_CALLBACKS_THREAD);
}

static void ask(struct pair *pair)
{
    while (!pp_ready(pair->second))
        harness_nap();
}

TEST(who_only_asks)
{
    try_each(ask, NULL, PP_CALLBACKS_THREAD);
}

static void wait_a_little(struct pair *pair)
{
    while (pp_wait(pair->second, 0.01) == -ETIMEDOUT)
        ;
}

TEST(who_waits_a_little_each_time)
{
    try_each(wait_a_little, NULL, PP_CALLBACKS_THREAD);
}

static void turn_loop(struct pair *pair)
{
    struct pollfd loop = { .fd = pp_pool_fd(pair->pool), .events = POLLIN };

    while (pair->calls < 2) {
        CHECK_EQ(poll(&loop, 1, -1), 1);
        CHECK(pp_poll(pair->pool) >= 0);
    }
}

TEST(who_waits_in_an_event_loop)
{
    try_each(turn_loop, count, PP_CALLBACKS_POLL);
}

static void nap(struct pair *pair)
{
    while (pair->calls < 2)
        harness_nap();
}

TEST(who_leaves_it_to_callbacks)
{
    try_each(nap, count, PP_CALLBACKS_THREAD);
}

static atomic_bool waiting;

static void *wait_for(void *result)
{
    pp_wait(result);
    atomic_store(&waiting, false);
    return NULL;
}

/* Something always comes: it is not that which is waited for. */
static void wait_beside_others(struct pair *pair)
{
    pthread_t thread;

    atomic_store(&waiting, true);
    CHECK_EQ(pthread_create(&thread, NULL, wait_for, pair->second), 0);
    for (long i = 0; atomic_load(&waiting); i++) {
        long value = -1;
        int error = pp_apply(pair->pool, PP_CALL(square, i), &value);

        CHECK(is_right(error, value, i * i));
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(beside_others)
{
    try_each(wait_beside_others, NULL, PP_CALLBACKS_THREAD);
}

/* ---- What says who sleeps ---- */

static long let_client_sleep(void)
{
    struct ppi_claims_shm *claims = ppi_current_worker->seat.queue->claims;

    while (atomic_load(&claims->client_waits) == 0)
        harness_nap();
    atomic_store(&claims->client_waits, 0);
    return 7;
}
PP_TASK(long, let_client_sleep);

TEST(the_client_is_not_woken)
{
    pp_pool *pool = new_pool(2, PP_CALLBACKS_THREAD);
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(let_client_sleep), &value), 0);
    CHECK_EQ(value, 7);
    finish(pool);
}

/* What the tasks of the last test tell each other. */
static struct {
    atomic_bool done, others;
} *told;

static long let_all_sleep(void)
{
    const struct ppi_worker *worker = ppi_current_worker;
    struct ppi_claims_shm *claims = worker->seat.queue->claims;

    while (!(atomic_load(&claims->sleepers[0]) & ~(UINT64_C(1) << worker->seat.index)))
        harness_nap();
    atomic_store(&claims->sleepers[0], 0);
    atomic_store(&claims->waking, PPI_SEARCHING + 77);
    atomic_store(&told->done, true);
    while (!atomic_load(&told->others))
        harness_nap();
    return 7;
}
PP_TASK(long, let_all_sleep);

static int tell(void)
{
    atomic_store(&told->others, true);
    return 0;
}
PP_TASK(int, tell);

/* The task that does the damage waits for one that only the other worker can run. */
TEST(the_other_worker_is_not_woken)
{
    pp_result *result;
    pp_pool *pool;
    long value = 0;

    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(told != MAP_FAILED);
    pool = new_pool(2, PP_CALLBACKS_THREAD);
    result = pp_apply_async(pool, PP_CALL(let_all_sleep));
    CHECK_SOON(atomic_load(&told->done));
    CHECK_EQ(pp_apply(pool, PP_CALL(tell), NULL), 0);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 7);
    pp_result_free(result);
    finish(pool);
    CHECK_EQ(munmap(told, sizeof *told), 0);
}
