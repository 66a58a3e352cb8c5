/* SPDX-License-Identifier: MIT */
/* pp_cancel() together with all else: callbacks, threads, crashes, the end of the pool. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* Never ends by itself. */
static void stay(atomic_int *runs)
{
    atomic_fetch_add(runs, 1);
    for (;;)
        pause();
}
PP_TASK(void, stay, atomic_int *, runs);

static long wait_and_triple(struct gate *gate, long x)
{
    gate_wait(gate);
    return 3 * x + 1;
}
PP_TASK(long, wait_and_triple, struct gate *, gate, long, x);

static long triple(long x)
{
    return 3 * x + 1;
}
PP_TASK(long, triple, long, x);

struct seen {
    atomic_int calls;
    atomic_int errors;
    int code;
    int cancelled; /* what pp_cancel() returned inside of a callback */
    pp_result *other;
};

static void count_call(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    atomic_fetch_add(&seen->calls, 1);
}

static void count_error(pp_result *result, void *user)
{
    struct seen *seen = user;

    seen->code = pp_get(result, NULL);
    atomic_fetch_add(&seen->errors, 1);
}

static void count_code(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add((atomic_int *)user, 1);
}

static atomic_int *runs_new(void)
{
    return shared_new(sizeof(atomic_int));
}

static void runs_free(atomic_int *runs)
{
    shared_free(runs, sizeof *runs);
}

static void check_works(pp_pool *pool)
{
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(triple, 12), &value), 0);
    CHECK_EQ(value, 37);
}

TEST(misuse)
{
    pp_pool *pool = pool_of(1);
    atomic_int *runs = runs_new();
    pp_result *result;
    int status;
    pid_t child;

    CHECK_EQ(pp_cancel(NULL), -EINVAL);
    finish(pool);
    pool = pool_of(1);
    result = pp_apply_async(pool, PP_CALL(stay, runs));
    child = fork();
    if (child == 0)
        _exit(pp_cancel(result) == -ECHILD ? 0 : 1);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK(!pp_ready(result));
    CHECK_EQ(pp_cancel(result), 0);
    CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    finish(pool);
    runs_free(runs);
}

TEST(there_already)
{
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(triple, 3));
    pp_result *nothing = pp_map_async(pool, triple, (long *)NULL, 0);
    long value = 0;

    CHECK_EQ(pp_cancel(nothing), -EALREADY);
    CHECK_EQ(pp_get(result, NULL), 0);
    CHECK_EQ(pp_cancel(result), -EALREADY);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 10);
    CHECK(pp_successful(result));
    finish(pool);
}

TEST(twice)
{
    atomic_int *runs = runs_new();
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 50; i++) {
        pp_result *result;
        int code;

        atomic_store(runs, 0);
        result = pp_apply_async(pool, PP_CALL(stay, runs), .grace = i % 2 ? 1000 : 0);
        if (i % 4 < 2) /* the others may have begun or not */
            CHECK_SOON(atomic_load(runs) == 1);
        CHECK_EQ(pp_cancel(result), 0);
        code = pp_cancel(result);
        CHECK(code == 0 || code == -EALREADY);
        CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
        CHECK_EQ(pp_failures(result), 1);
        CHECK_EQ(pp_cancel(result), -EALREADY);
    }
    finish(pool);
    runs_free(runs);
}

/* ---- Callbacks ---------------------------------------------------------------- */

static void check_callback(pp_callbacks mode, bool running)
{
    atomic_int *runs = runs_new();
    struct gate *gate = gate_new();
    pp_pool *pool = pp_pool_new(.processes = 1, .callbacks = mode);
    struct seen seen = { 0 };
    pp_result *result;

    if (!running)
        CHECK(pp_apply_async(pool, PP_CALL(wait_and_triple, gate, 1)));
    result = pp_apply_async(pool, PP_CALL(stay, runs), .callback = count_call,
                            .error_callback = count_error, .user = &seen);
    if (running)
        CHECK_SOON(atomic_load(runs) == 1);
    CHECK_EQ(pp_cancel(result), 0);
    if (mode == PP_CALLBACKS_POLL) {
        CHECK_EQ(atomic_load(&seen.errors), 0); /* not inside of pp_cancel() */
        CHECK_SOON(pp_poll(pool) == 1);
    } else {
        CHECK_SOON(atomic_load(&seen.errors) == 1); /* though nobody waits */
    }
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(seen.code, PP_ECANCELLED);
    gate_open(gate);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.errors), 1);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    gate_free(gate);
    runs_free(runs);
}

TEST(error_callback)
{
    check_callback(PP_CALLBACKS_THREAD, false);
    check_callback(PP_CALLBACKS_THREAD, true);
}

TEST(error_callback_when_polled)
{
    check_callback(PP_CALLBACKS_POLL, false);
    check_callback(PP_CALLBACKS_POLL, true);
}

static void cancel_other(pp_result *result, void *user)
{
    struct seen *seen = user;

    CHECK_EQ(pp_cancel(result), -EALREADY); /* in its callback it is there */
    seen->cancelled = pp_cancel(seen->other);
    atomic_fetch_add(&seen->calls, 1);
}

static void check_from_callback(pp_callbacks mode)
{
    atomic_int *runs = runs_new();
    pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = mode);
    struct seen seen = { 0 }, other = { 0 };
    pp_result *result;

    seen.other = pp_apply_async(pool, PP_CALL(stay, runs), .error_callback = count_error,
                                .user = &other);
    CHECK_SOON(atomic_load(runs) == 1);
    result = pp_apply_async(pool, PP_CALL(triple, 1), .callback = cancel_other, .user = &seen);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(pp_get(seen.other, NULL), PP_ECANCELLED);
    CHECK_EQ(seen.cancelled, 0);
    CHECK_EQ(other.code, PP_ECANCELLED);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 1);
    CHECK_EQ(atomic_load(&other.errors), 1);
    runs_free(runs);
}

TEST(from_a_callback)
{
    check_from_callback(PP_CALLBACKS_THREAD);
    check_from_callback(PP_CALLBACKS_POLL);
}

static void cancel_next(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    atomic_fetch_add(&seen->errors, 1);
    if (seen->other)
        CHECK_EQ(pp_cancel(seen->other), 0);
}

/* Each error callback cancels the next: not inside of each other. */
TEST(one_cancels_the_next)
{
    enum { COUNT = 2000 };
    struct gate *gate = gate_new();
    struct seen *seen = calloc(COUNT, sizeof *seen);
    pp_result *first = NULL;
    pp_pool *pool = pool_of(1);

    CHECK(pp_apply_async(pool, PP_CALL(wait_and_triple, gate, 1)));
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    for (long i = COUNT - 1; i >= 0; i--) {
        seen[i].other = first;
        first = pp_apply_async(pool, PP_CALL(triple, i), .error_callback = cancel_next,
                               .user = &seen[i]);
    }
    CHECK_EQ(pp_cancel(first), 0);
    for (int i = 0; i < COUNT; i++)
        CHECK_SOON(atomic_load(&seen[i].errors) == 1);
    gate_open(gate);
    finish(pool);
    gate_free(gate);
    free(seen);
}

/* ---- Threads ------------------------------------------------------------------- */

struct cancelling {
    pp_result *result;
    atomic_int *start;
    int code;
};

static void *cancel_when_told(void *arg)
{
    struct cancelling *cancelling = arg;

    while (!atomic_load(cancelling->start))
        ;
    cancelling->code = pp_cancel(cancelling->result);
    return NULL;
}

TEST(from_several_threads, .timeout = 60)
{
    enum { THREADS = 4, ROUNDS = 100 };
    atomic_int *runs = runs_new();
    pp_pool *pool = pool_of(2);

    for (int round = 0; round < ROUNDS; round++) {
        struct cancelling cancelling[THREADS];
        pthread_t ids[THREADS];
        atomic_int start = 0, ends = 0;
        int good = 0;
        pp_result *result = pp_apply_async(pool, PP_CALL(stay, runs), .callback = count_code,
                                           .error_callback = count_code, .user = &ends);

        for (int t = 0; t < THREADS; t++) {
            cancelling[t] = (struct cancelling){ result, &start, 1 };
            CHECK_EQ(pthread_create(&ids[t], NULL, cancel_when_told, &cancelling[t]), 0);
        }
        atomic_store(&start, 1);
        CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED); /* while it is waited for */
        for (int t = 0; t < THREADS; t++) {
            CHECK_EQ(pthread_join(ids[t], NULL), 0);
            CHECK(cancelling[t].code == 0 || cancelling[t].code == -EALREADY);
            good += cancelling[t].code == 0;
        }
        CHECK(good > 0);
        CHECK_EQ(atomic_load(&ends), 1);
    }
    finish(pool);
    runs_free(runs);
}

/* ---- The end of the pool, of results and of workers -------------------------------- */

TEST(after_close)
{
    atomic_int *runs = runs_new();
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(stay, runs));

    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool, .timeout = 0.01), -ETIMEDOUT);
    CHECK_EQ(pp_cancel(result), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_cancel(result), -EALREADY);
    CHECK_EQ(pp_pool_free(pool), 0);
    runs_free(runs);
}

TEST(after_terminate)
{
    atomic_int *runs = runs_new();
    pp_pool *pool = pool_of(1);
    pp_result *results[3];

    for (int i = 0; i < 3; i++)
        results[i] = pp_apply_async(pool, PP_CALL(stay, runs), .grace = 1000);
    CHECK_EQ(pp_cancel(results[0]), 0);
    CHECK_EQ(pp_cancel(results[2]), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pp_cancel(results[i]), -EALREADY);
        CHECK_EQ(pp_get(results[i], NULL), PP_ECANCELLED);
    }
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_cancel(results[1]), -EALREADY);
    CHECK_EQ(pp_pool_free(pool), 0);
    runs_free(runs);
}

/* It is stopped although nobody has its result any more. */
TEST(freed_early)
{
    atomic_int *runs = runs_new();
    struct seen seen = { 0 };
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 20; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(stay, runs), .callback = count_call,
                                           .error_callback = count_error, .user = &seen);

        if (i % 2)
            CHECK_SOON(atomic_load(runs) > i / 2);
        CHECK_EQ(pp_cancel(result), 0);
        pp_result_free(result);
    }
    check_works(pool);
    finish(pool);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    runs_free(runs);
}

/* Its worker dies just then, by itself. */
static void die_soon(atomic_int *runs, long microseconds)
{
    atomic_fetch_add(runs, 1);
    spend_time(microseconds);
    raise(SIGKILL);
}
PP_TASK(void, die_soon, atomic_int *, runs, long, microseconds);

TEST(while_its_worker_dies, .timeout = 60)
{
    enum { CALLS = 300 };
    unsigned long seed = choose_seed();
    atomic_int *runs = runs_new();
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < CALLS; i++) {
        pp_result *result =
            pp_apply_async(pool, PP_CALL(die_soon, runs, (long)(next_random(&seed) % 500)));
        int code;

        sleep_for((long)(next_random(&seed) % 500));
        code = pp_cancel(result);
        if (code == -EALREADY) {
            CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
        } else {
            CHECK_EQ(code, 0);
            code = pp_get(result, NULL);
            CHECK(code == PP_ECRASHED || code == PP_ECANCELLED);
        }
    }
    check_works(pool);
    finish(pool);
    CHECK(atomic_load(runs) <= CALLS);
    runs_free(runs);
}

/* One that crashes again and again, between two attempts or in one. */
TEST(while_it_is_retried, .timeout = 60)
{
    atomic_int *runs = runs_new();
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 10; i++) {
        int before = atomic_load(runs);
        pp_result *result = pp_apply_async(pool, PP_CALL(die_soon, runs, i * 100),
                                           .retries = 65535);

        CHECK_SOON(atomic_load(runs) >= before + 3);
        CHECK_EQ(pp_cancel(result), 0);
        CHECK_EQ(pp_wait(result, .timeout = 60), 0);
        CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
        before = atomic_load(runs);
        check_works(pool);
        check_works(pool);
        CHECK_EQ(atomic_load(runs), before); /* it is not run any more */
    }
    finish(pool);
    runs_free(runs);
}

/* Cancelled together with a map of which every item crashes. */
TEST(maps_that_crash, .timeout = 60)
{
    enum { COUNT = 200, ROUNDS = 20 };
    unsigned long seed = choose_seed();
    atomic_int *runs = runs_new();
    PP_ARGS(die_soon) items[COUNT];
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(die_soon)){ runs, 0 };
    for (int round = 0; round < ROUNDS; round++) {
        int code, before = atomic_load(runs);
        pp_result *result = pp_starmap_async(pool, die_soon, items, COUNT,
                                             .chunksize = round % 5, .retries = round % 3);

        CHECK_SOON(atomic_load(runs) > before);
        sleep_for((long)(next_random(&seed) % 20000));
        code = pp_cancel(result);
        CHECK(code == 0 || code == -EALREADY);
        code = pp_get(result, NULL);
        CHECK(code == PP_ECRASHED || code == PP_ECANCELLED);
        CHECK_EQ(pp_failures(result), COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            const pp_error *error = pp_failure(result, i);

            CHECK_EQ(error->index, i);
            CHECK(error->kind == PP_CRASHED || error->kind == PP_CANCELLED);
        }
    }
    check_works(pool);
    finish(pool);
    runs_free(runs);
}
