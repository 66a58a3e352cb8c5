/* SPDX-License-Identifier: MIT */
/* The supervisor is killed: every open result ends, nothing hangs or stays behind. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

/* What is said to end within a second, made longer by slow environments only. */
enum { GONE_WITHIN_S = 1 };

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

static int spin(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    for (volatile bool forever = true; forever;)
        ;
    return 0;
}
PP_TASK(int, spin, struct gate *, gate);

static int ignore_signals(struct gate *gate)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_IGN);
    return spin(gate);
}
PP_TASK(int, ignore_signals, struct gate *, gate);

static int kill_supervisor_at(struct gate *gate)
{
    gate_wait(gate);
    kill(getppid(), SIGKILL);
    for (;;)
        pause();
    return 0;
}
PP_TASK(int, kill_supervisor_at, struct gate *, gate);

static pid_t kill_supervisor(size_t workers)
{
    struct census census;

    CHECK_SOON(take_census(&census, workers));
    CHECK_EQ(kill(census.supervisor, SIGKILL), 0);
    return census.supervisor;
}

/* No more work is taken; what was taken before that is noticed ends. */
static void check_broken(pp_pool *pool)
{
    double end = harness_now() + 10 * harness_time_factor();
    pp_result *result;

    while ((result = pp_apply_async(pool, PP_CALL(square, 1)))) {
        int error = pp_get(result, NULL);

        CHECK(error == PP_ECRASHED || error == PP_EBROKEN || error == 0);
        CHECK(harness_now() < end);
    }
    CHECK_EQ(errno, ENOTRECOVERABLE);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL), -ENOTRECOVERABLE);
    CHECK_WITHIN(GONE_WITHIN_S, living() == 0);
}

TEST(supervisor_of_an_idle_pool)
{
    pp_pool *pool = pool_of(2);

    kill_supervisor(2);
    check_broken(pool);
    finish(pool);
}

TEST(supervisor_of_a_busy_pool)
{
    enum { TASKS = 20000 };
    static pp_result *results[TASKS];
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *done = pp_apply_async(pool, PP_CALL(square, 5));
    long value = 0;

    CHECK_EQ(pp_wait(done), 0);
    for (int i = 0; i < TASKS; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(spin, gate))) != NULL);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    kill_supervisor(2);
    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(pp_get(results[i], NULL), PP_ECRASHED);
        CHECK_EQ(pp_error_of(results[i])->kind, PP_CRASHED);
        CHECK(*pp_error_of(results[i])->message);
    }
    CHECK_EQ(pp_get(done, &value), 0);
    CHECK_EQ(value, 25);
    check_broken(pool);
    finish(pool);
    gate_free(gate);
}

TEST(supervisor_in_a_map)
{
    enum { COUNT = 10000 };
    struct gate *gate = gate_new();
    PP_ARGS(wait_and_square) *items = calloc(COUNT, sizeof *items);
    long *out = calloc(COUNT, sizeof *out);
    pp_pool *pool = pool_of(2);
    pp_result *result;

    for (long i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(wait_and_square)){ gate, i };
    result = pp_starmap_async(pool, wait_and_square, items, COUNT, .chunksize = 1);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    kill_supervisor(2);
    CHECK_EQ(pp_get(result, out), PP_ECRASHED);
    CHECK_EQ(pp_failures(result), COUNT);
    for (size_t i = 0; i < COUNT; i++)
        CHECK_EQ(pp_failure(result, i)->index, i);
    finish(pool);
    free(items);
    free(out);
    gate_free(gate);
}

TEST(supervisor_of_workers_that_ignore_signals)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *first = pp_apply_async(pool, PP_CALL(ignore_signals, gate));
    pp_result *second = pp_apply_async(pool, PP_CALL(ignore_signals, gate));

    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    kill_supervisor(2);
    CHECK_EQ(pp_get(first, NULL), PP_ECRASHED);
    CHECK_EQ(pp_get(second, NULL), PP_ECRASHED);
    CHECK_WITHIN(GONE_WITHIN_S, living() == 0);
    finish(pool);
    gate_free(gate);
}

TEST(supervisor_killed_by_a_task)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);

    gate_open(gate);
    CHECK_EQ(pp_apply(pool, PP_CALL(kill_supervisor_at, gate), NULL), PP_ECRASHED);
    check_broken(pool);
    finish(pool);
    gate_free(gate);
}

static void *wait_for_it(void *result)
{
    CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
    return NULL;
}

/* Those who wait already are told. */
TEST(supervisor_while_threads_wait)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pthread_t waiting[4];

    for (int i = 0; i < 4; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(spin, gate));

        CHECK_EQ(pthread_create(&waiting[i], NULL, wait_for_it, result), 0);
    }
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    kill_supervisor(2);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(waiting[i], NULL), 0);
    finish(pool);
    gate_free(gate);
}

TEST(supervisor_while_joining)
{
    struct gate *gate = gate_new(), *other = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_apply_async(pool, PP_CALL(kill_supervisor_at, gate));

    for (int i = 0; i < 10; i++)
        CHECK(pp_apply_async(pool, PP_CALL(spin, other)));
    CHECK_EQ(pp_close(pool), 0);
    gate_open(gate);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(living(), 0);
    CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
    gate_free(other);
}

static void count(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add((atomic_int *)user, 1);
}

TEST(supervisor_with_callbacks)
{
    struct gate *gate = gate_new();
    atomic_int errors = 0;
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 100; i++)
        CHECK(pp_apply_async(pool, PP_CALL(spin, gate), .error_callback = count,
                             .user = &errors));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    kill_supervisor(2);
    CHECK_SOON(atomic_load(&errors) == 100); /* nobody else waits */
    finish(pool);
    CHECK_EQ(atomic_load(&errors), 100);
    gate_free(gate);
}

TEST(supervisor_with_polled_callbacks)
{
    struct gate *gate = gate_new();
    atomic_int errors = 0;
    pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL);

    for (int i = 0; i < 100; i++)
        CHECK(pp_apply_async(pool, PP_CALL(spin, gate), .error_callback = count,
                             .user = &errors));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    kill_supervisor(2);
    CHECK_SOON(pp_poll(pool) < 0 || atomic_load(&errors) == 100);
    CHECK_EQ(atomic_load(&errors), 100);
    finish(pool);
    gate_free(gate);
}

TEST(supervisor_then_terminate)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_apply_async(pool, PP_CALL(spin, gate));

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    kill_supervisor(2);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK(pp_get(result, NULL) < 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(living(), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(supervisor_then_free)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);

    CHECK(pp_apply_async(pool, PP_CALL(spin, gate)));
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    kill_supervisor(2);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_WITHIN(GONE_WITHIN_S, processes() == 0); /* others than the pool reap them */
    gate_free(gate);
}

TEST(everything_at_once)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *results[10];
    struct census census;

    for (int i = 0; i < 10; i++)
        results[i] = pp_apply_async(pool, PP_CALL(spin, gate));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK(take_census(&census, 2));
    kill(census.workers[0], SIGKILL);
    kill(census.supervisor, SIGKILL);
    kill(census.workers[1], SIGKILL);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(pp_get(results[i], NULL), PP_ECRASHED);
    check_broken(pool);
    finish(pool);
    gate_free(gate);
}
