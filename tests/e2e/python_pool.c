/* SPDX-License-Identifier: MIT */
/* What CPython tests of its own pool and the other programs here do not: doc/python-pool.md
   has the whole list. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static long multiply(long x, long y)
{
    return x * y;
}
PP_TASK(long, multiply, long, x, long, y);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

static void nothing(void)
{
}
PP_TASK(void, nothing);

static void count_call(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add((atomic_int *)user, 1);
}

/* ---- _TestPool ----------------------------------------------------------------- */

/* test_map */
TEST(map)
{
    pp_pool *pool = pool_of(4);
    long items[100], out[100];

    for (long i = 0; i < 100; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, square, items, 10, out), 0);
    for (long i = 0; i < 10; i++)
        CHECK_EQ(out[i], i * i);
    CHECK_EQ(pp_map(pool, square, items, 100, out, .chunksize = 20), 0);
    for (long i = 0; i < 100; i++)
        CHECK_EQ(out[i], i * i);
    finish(pool);
}

/* test_starmap, test_starmap_async */
TEST(starmap)
{
    pp_pool *pool = pool_of(4);
    PP_ARGS(multiply) items[100];
    long out[100];

    for (long i = 0; i < 100; i++)
        items[i] = (PP_ARGS(multiply)){ i, 99 - i };
    for (long chunksize = 0; chunksize <= 20; chunksize += 20) {
        memset(out, 0, sizeof out);
        CHECK_EQ(pp_starmap(pool, multiply, items, 100, out, .chunksize = chunksize), 0);
        for (long i = 0; i < 100; i++)
            CHECK_EQ(out[i], i * (99 - i));
    }
    memset(out, 0, sizeof out);
    CHECK_EQ(pp_get(pp_starmap_async(pool, multiply, items, 100), out), 0);
    for (long i = 0; i < 100; i++)
        CHECK_EQ(out[i], i * (99 - i));
    finish(pool);
}

/* test_map_chunksize */
TEST(map_chunksize)
{
    pp_pool *pool = pool_of(4);
    pp_result *result = pp_map_async(pool, square, (long *)NULL, 0, .chunksize = 1);

    CHECK_EQ(pp_get(result, NULL, .timeout = 10), 0);
    finish(pool);
}

/* test_async: the value comes when the task has ended, not before. */
TEST(async)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(4);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 7));
    long value = 0;

    CHECK(!pp_ready(result));
    CHECK_EQ(pp_get(result, &value, .timeout = 0.05), -ETIMEDOUT);
    gate_open(gate);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 49);
    finish(pool);
    gate_free(gate);
}

/* test_terminate: a map of ten thousand tasks that would not end. */
static void sleep_long(double seconds)
{
    sleep_for((long)(seconds * 1e6));
}
PP_TASK(void, sleep_long, double, seconds);

TEST(terminate, .timeout = 30)
{
    enum { COUNT = 10000 };
    double *items = calloc(COUNT, sizeof *items);
    pp_pool *pool = pool_of(3);
    pp_result *result;

    for (int i = 0; i < COUNT; i++)
        items[i] = 1000;
    result = pp_map_async(pool, sleep_long, items, COUNT, .chunksize = 1);
    CHECK_EQ(pp_wait(result, .timeout = 0.2), -ETIMEDOUT);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_failures(result), COUNT);
    CHECK_EQ(pp_pool_free(pool), 0);
    free(items);
}

/* test_map_no_failfast: two tasks fail, one of them late and with all that a message can
   hold, while others give large values; nothing is lost, and joining does not hang. */
static pp_bytes fail_or_fill(struct gate *gate, int x)
{
    static char data[1 << 20];
    char message[1100];

    memset(message, 'm', sizeof message);
    message[sizeof message - 1] = '\0';
    if (x == 1)
        gate_wait(gate);
    if (x < 2)
        pp_raise(x + 10, "%s", message);
    memset(data, 'd', sizeof data);
    return (pp_bytes){ data, sizeof data };
}
PP_TASK(pp_bytes, fail_or_fill, struct gate *, gate, int, x);

TEST(map_no_failfast)
{
    enum { COUNT = 40 };
    struct gate *gate = gate_new();
    PP_ARGS(fail_or_fill) items[COUNT];
    pp_bytes out[COUNT] = { { 0 } };
    pp_pool *pool = pool_of(2);
    pp_result *result;

    for (int i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(fail_or_fill)){ gate, i };
    result = pp_starmap_async(pool, fail_or_fill, items, COUNT, .chunksize = 1);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_wait(result, .timeout = 0.2), -ETIMEDOUT); /* though one has failed */
    gate_open(gate);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_get(result, out), PP_ERAISED);
    CHECK_EQ(pp_failures(result), 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(pp_failure(result, i)->code, 10 + (int)i);
        CHECK_EQ(strlen(pp_failure(result, i)->message), 1023);
    }
    for (int i = 2; i < COUNT; i++) {
        CHECK_EQ(out[i].size, 1 << 20);
        CHECK_EQ(((const char *)out[i].data)[(1 << 20) - 1], 'd');
    }
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

/* test_release_task_refs: memory of arguments and values is given back when a map is over. */
static pp_bytes identity(pp_bytes bytes)
{
    return bytes;
}
PP_TASK(pp_bytes, identity, pp_bytes, bytes);

/* KiB, of the test's process; with what is mapped and shared with others. */
static long resident(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long size = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        sscanf(line, "VmRSS: %ld", &size);
    fclose(file);
    return size;
}

TEST(release_task_refs, .timeout = 60)
{
    enum { COUNT = 10, SIZE = 1 << 20, ROUNDS = 30 };
    char *data = calloc(1, SIZE);
    pp_bytes items[COUNT], out[COUNT];
    pp_pool *pool = pool_of(4);
    long before = 0;

    for (int i = 0; i < COUNT; i++)
        items[i] = (pp_bytes){ data, SIZE };
    for (int round = 0; round < ROUNDS; round++) {
        pp_result *result = pp_map_async(pool, identity, items, COUNT);

        CHECK_EQ(pp_get(result, NULL), 0);
        pp_result_free(result);
        CHECK_EQ(pp_map(pool, identity, items, COUNT, out), 0);
        for (int i = 0; i < COUNT; i++)
            free((void *)out[i].data);
        if (round == ROUNDS / 2)
            before = resident();
    }
    if (!HARNESS_SANITIZED && !harness_on_valgrind() && resident() > before + 100 * 1024)
        FAIL("%ld KiB resident after %d maps of 10 MiB, %ld halfway", resident(), 2 * ROUNDS,
             before);
    finish(pool);
    free(data);
}

/* ---- _TestPoolWorkerErrors --------------------------------------------------------- */

/* test_unpickleable_result: a value that cannot be carried over, twenty times. */
static pp_bytes too_large(void)
{
    return (pp_bytes){ "", SIZE_MAX / 4 };
}
PP_TASK(pp_bytes, too_large);

TEST(unpickleable_result)
{
    pp_pool *pool = pool_of(2);
    struct census before, after;
    atomic_int errors = 0;

    CHECK(take_census(&before, 2));
    for (int i = 0; i < 20; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(too_large), .error_callback = count_call,
                                           .user = &errors);

        CHECK_EQ(pp_get(result, NULL), PP_ERAISED);
        CHECK_EQ(pp_error_of(result)->code, ENOMEM);
        CHECK(*pp_error_of(result)->message);
        CHECK_EQ(atomic_load(&errors), i + 1);
    }
    CHECK(take_census(&after, 2)); /* no worker was lost with it */
    CHECK_EQ(after.workers[0] + after.workers[1], before.workers[0] + before.workers[1]);
    finish(pool);
}

/* ---- _TestPoolWorkerLifetime -------------------------------------------------------- */

/* test_pool_worker_lifetime */
TEST(pool_worker_lifetime)
{
    enum { CALLS = 100 };
    pp_pool *pool = pp_pool_new(.processes = 3, .max_tasks_per_child = 10);
    struct census before, after;
    pp_result *results[CALLS];
    long value = 0;

    CHECK(take_census(&before, 3));
    for (long i = 0; i < CALLS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(square, i));
    for (long i = 0; i < CALLS; i++) {
        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_SOON(take_census(&after, 3));
    for (int i = 0; i < 3; i++)
        CHECK(after.workers[i] > 0);
    CHECK(after.workers[0] + after.workers[1] + after.workers[2] !=
          before.workers[0] + before.workers[1] + before.workers[2]);
    finish(pool);
}

/* test_pool_worker_lifetime_early_close */
TEST(pool_worker_lifetime_early_close)
{
    enum { CALLS = 6 };
    struct gate *gate = gate_new();
    pp_pool *pool = pp_pool_new(.processes = 3, .max_tasks_per_child = 1);
    pp_result *results[CALLS];
    long value = 0;

    for (long i = 0; i < CALLS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_and_square, gate, i));
    CHECK_EQ(pp_close(pool), 0);
    CHECK_SOON(atomic_load(&gate->waiting) == 3); /* closed while they run */
    gate_open(gate);
    CHECK_EQ(pp_join(pool), 0);
    for (long i = 0; i < CALLS; i++) {
        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

/* ---- Additions: each of these fails in CPython 3.11 --------------------------------- */

static void die(int how)
{
    if (how == 0)
        raise(SIGKILL);
    if (how == 1)
        exit(3);
    pp_raise(INT32_MIN, "%s", "");
}
PP_TASK(void, die, int, how);

/* The victim, a sibling that runs meanwhile, and what comes next. */
TEST(victim_sibling_and_next)
{
    static const int codes[] = { PP_ECRASHED, PP_ECRASHED, PP_ERAISED };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);

    for (int how = 0; how < 3; how++) {
        pp_result *sibling, *victim;
        long value = 0;

        atomic_store(&gate->open, 0);
        sibling = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
        CHECK_SOON(atomic_load(&gate->waiting) == how + 1);
        victim = pp_apply_async(pool, PP_CALL(die, how));
        CHECK_EQ(pp_get(victim, NULL, .timeout = 60), codes[how]);
        CHECK(!pp_ready(sibling));
        CHECK_EQ(pp_apply(pool, PP_CALL(square, 4), &value), 0);
        CHECK_EQ(value, 16);
        gate_open(gate);
        CHECK_EQ(pp_get(sibling, &value), 0);
        CHECK_EQ(value, 9);
    }
    finish(pool);
    gate_free(gate);
}

/* Closed and joined while it is not known yet that a task has crashed. */
TEST(close_and_join_after_a_crash)
{
    pp_pool *pool = pool_of(2);
    pp_result *crashed = pp_apply_async(pool, PP_CALL(die, 0));
    pp_result *other = pp_apply_async(pool, PP_CALL(square, 5));
    long value = 0;

    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool, .timeout = 60), 0);
    CHECK_EQ(pp_get(crashed, NULL), PP_ECRASHED);
    CHECK_EQ(pp_get(other, &value), 0);
    CHECK_EQ(value, 25);
    CHECK_EQ(pp_pool_free(pool), 0);
}

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

/* A program that closes and joins on Ctrl-C with a thousand calls in the queue. */
TEST(ctrl_c_with_a_thousand_calls, .timeout = 60)
{
    enum { CALLS = 1000 };
    struct gate *gate = gate_new();
    pp_result *results[CALLS];
    pp_pool *pool;
    long value = 0;

    CHECK_EQ(setpgid(0, 0), 0);
    pool = pool_of(2);
    for (long i = 0; i < CALLS; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_and_square, gate, i));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    signal(SIGINT, interrupt);
    CHECK_EQ(kill(0, SIGINT), 0);
    CHECK_SOON(interrupted);
    CHECK_EQ(pp_close(pool), 0);
    gate_open(gate);
    CHECK_EQ(pp_join(pool, .timeout = 60), 0);
    for (long i = 0; i < CALLS; i++) {
        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(a_million_empty_tasks, .timeout = 120)
{
    enum { CALLS = 1000000 };
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < CALLS; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(nothing));

        CHECK(result != NULL);
        if (i % 1000 == 999)
            CHECK_EQ(pp_wait(result), 0);
        pp_result_free(result);
    }
    finish(pool);
}

/* More bytes than an int can count, there and back. */
static size_t sum_of_ends(pp_bytes bytes)
{
    const unsigned char *data = bytes.data;

    return bytes.size + data[0] + data[bytes.size - 1];
}
PP_TASK(size_t, sum_of_ends, pp_bytes, bytes);

static pp_bytes fill(size_t size, char with)
{
    char *data = pp_reserve(size);

    if (!data)
        pp_raise(ENOMEM, "no %zu bytes", size);
    data[0] = data[size - 1] = with;
    return (pp_bytes){ data, size };
}
PP_TASK(pp_bytes, fill, size_t, size, char, with);

TEST(three_gibibytes, .timeout = 300)
{
    size_t size = (size_t)3 << 30, sum = 0;
    unsigned char *data;
    pp_pool *pool;
    pp_bytes value = { 0 };
    int error;

    if (!getenv("TEST_THOROUGH") || HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("only with TEST_THOROUGH=1, and without sanitizers");
    data = calloc(1, size);
    CHECK(data != NULL);
    data[0] = 3;
    data[size - 1] = 4;
    pool = pool_of(1);
    error = pp_apply(pool, PP_CALL(sum_of_ends, { data, size }), &sum);
    free(data);
    if (error != -ENOMEM) {
        CHECK_EQ(error, 0);
        CHECK_EQ(sum, size + 7);
    }
    error = pp_apply(pool, PP_CALL(fill, size, 'e'), &value);
    if (error == 0) {
        CHECK_EQ(value.size, size);
        CHECK_EQ(((const char *)value.data)[size - 1], 'e');
        free((void *)value.data);
    } else {
        CHECK(error == -ENOMEM || error == PP_ERAISED);
    }
    finish(pool);
}

/* Nothing has a name that could be left behind, not even while a pool works. */
TEST(nothing_in_dev_shm)
{
    pp_pool *pool = pool_of(2);
    char line[4096];
    FILE *maps;

    CHECK_EQ(pp_apply(pool, PP_CALL(nothing), NULL), 0);
    maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps))
        CHECK(!strstr(line, "/dev/shm/"));
    fclose(maps);
    finish(pool);
}
