/* SPDX-License-Identifier: MIT */
/* pp_stats_of(), pp_worker_stats_of(): what a pool and its workers do and have done. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

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

/* The items before a gate are done at once. */
static long pass(struct gate *gate)
{
    if (gate)
        gate_wait(gate);
    return 1;
}
PP_TASK(long, pass, struct gate *, gate);

static void pass_or_fail(struct gate *gate, bool fails)
{
    if (gate)
        gate_wait(gate);
    if (fails)
        pp_raise(1, "failed");
}
PP_TASK(void, pass_or_fail, struct gate *, gate, bool, fails);

static int fail_or_die(int how)
{
    if (how == 1)
        pp_raise(1, "failed");
    if (how == 2)
        _exit(3);
    return how;
}
PP_TASK(int, fail_or_die, int, how);

static pp_bytes echo(pp_bytes bytes)
{
    return bytes;
}
PP_TASK(pp_bytes, echo, pp_bytes, bytes);

static void check_items(pp_pool *pool, size_t queued, size_t running, size_t done, size_t failed)
{
    pp_stats stats = pp_stats_of(pool);

    CHECK_EQ(stats.queued, queued);
    CHECK_EQ(stats.running, running);
    CHECK_EQ(stats.done, done);
    CHECK_EQ(stats.failed, failed);
}

/* The only worker of a pool. */
static pp_worker_stats only(pp_pool *pool)
{
    pp_worker_stats stats[2];

    CHECK_SOON(pp_worker_stats_of(pool, stats, 2) == 1);
    return stats[0];
}

/* ---- The pool ------------------------------------------------------------------------ */

TEST(of_a_new_pool)
{
    pp_pool *pool = pool_of(3);
    pp_stats stats = pp_stats_of(pool);

    CHECK_EQ(stats.processes, 3);
    CHECK_EQ(stats.workers, 3);
    CHECK_EQ(stats.bytes_in + stats.bytes_out + stats.deaths + stats.retired, 0);
    CHECK(stats.elapsed > 0 && stats.elapsed < 20);
    check_items(pool, 0, 0, 0, 0);
    finish(pool);
}

TEST(of_calls)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *results[5];

    for (int i = 0; i < 5; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_and_square, gate, i));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    check_items(pool, 3, 2, 0, 0);
    gate_open(gate);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(pp_get(results[i], NULL), 0);
    check_items(pool, 0, 0, 5, 0);
    finish(pool);
    gate_free(gate);
}

/* Items of a chunk count one by one, although they have no record yet. */
TEST(of_a_running_chunk)
{
    struct gate *gate = gate_new();
    struct gate *items[100] = { [40] = gate };
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_map_async(pool, pass, items, 100, .chunksize = 100);

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    check_items(pool, 59, 1, 40, 0);
    CHECK_EQ(only(pool).items, 40);
    CHECK_EQ(only(pool).tasks, 0);
    gate_open(gate);
    CHECK_EQ(pp_get(result, NULL), 0);
    check_items(pool, 0, 0, 100, 0);
    CHECK_SOON(only(pool).tasks == 1);
    CHECK_EQ(only(pool).items, 100);
    finish(pool);
    gate_free(gate);
}

TEST(of_failures)
{
    const int items[] = { 0, 1, 2, 0, 1, 0 };
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_map(pool, fail_or_die, items, 6, NULL), PP_ERAISED);
    check_items(pool, 0, 0, 6, 3);
    CHECK_SOON(pp_stats_of(pool).deaths == 1);
    CHECK_SOON(pp_stats_of(pool).workers == 2);
    finish(pool);
}

TEST(of_what_is_cancelled)
{
    struct gate *gate = gate_new();
    struct gate *items[100] = { [10] = gate };
    pp_pool *pool = pool_of(1);
    pp_result *map = pp_map_async(pool, pass, items, 100, .chunksize = 50);
    pp_result *call = pp_apply_async(pool, PP_CALL(square, 3));

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    check_items(pool, 90, 1, 10, 0);
    CHECK_EQ(pp_cancel(map), 0);
    CHECK_EQ(pp_get(map, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_get(call, NULL), 0);
    check_items(pool, 0, 0, 101, 90);
    finish(pool);
    gate_free(gate);
}

TEST(of_a_map_that_stops)
{
    static int items[1000];
    pp_pool *pool = pool_of(1);

    items[5] = 1;
    CHECK_EQ(pp_map(pool, fail_or_die, items, 1000, NULL, .chunksize = 1,
                    .stop_on_error = true), PP_ERAISED);
    CHECK_EQ(pp_stats_of(pool).done, 1000);
    CHECK(pp_stats_of(pool).failed >= 1);
    CHECK_EQ(pp_stats_of(pool).queued, 0);
    finish(pool);
}

TEST(of_iterators)
{
    long items[1000] = { 0 }, sum = 0;
    pp_pool *pool = pool_of(2);
    pp_iter *iter = pp_imap(pool, square, .items = items, .count = 1000, .chunksize = 7);
    size_t read = 0;

    while (pp_next(iter, &sum) == 0)
        read++;
    CHECK_EQ(read, 1000);
    check_items(pool, 0, 0, 1000, 0);
    pp_iter_free(iter);
    finish(pool);
}

/* Bytes that make no sense: such items are drawn, and fail at once. */
static bool draw_bad(void *item, void *user)
{
    int *left = user;

    *(pp_bytes *)item = (pp_bytes){ NULL, 5 };
    return (*left)-- > 0;
}

TEST(of_items_that_cannot_be_submitted)
{
    int left = 10;
    pp_pool *pool = pool_of(1);
    pp_iter *iter = pp_imap(pool, echo, .input = draw_bad, .user = &left);

    while (pp_next(iter, NULL) == PP_ERAISED)
        ;
    check_items(pool, 0, 0, 10, 10);
    finish(pool);
}

/* What was open when the pool ended has ended, too; and all of it is known afterwards. */
TEST(of_a_pool_that_is_gone)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_worker_stats workers[2];
    pp_stats stats;
    double elapsed;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), NULL), 0);
    for (int i = 0; i < 10; i++)
        CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, i)) != NULL);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_EQ(pp_terminate(pool), 0);
    check_items(pool, 0, 0, 11, 10);
    CHECK_EQ(pp_worker_stats_of(pool, workers, 2), 0);
    CHECK_EQ(pp_join(pool), 0);
    check_items(pool, 0, 0, 11, 10);
    stats = pp_stats_of(pool);
    elapsed = stats.elapsed;
    CHECK_EQ(stats.processes, 2);
    CHECK_EQ(stats.workers, 0);
    CHECK_EQ(stats.deaths, 0);
    CHECK(stats.bytes_in > 0);
    CHECK_EQ(pp_worker_stats_of(pool, workers, 2), 0);
    harness_nap();
    CHECK_EQ(pp_stats_of(pool).elapsed, elapsed);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(of_a_pool_that_was_joined)
{
    static long items[10000], values[10000];
    pp_pool *pool = pool_of(3);

    CHECK_EQ(pp_map(pool, square, items, 10000, values), 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    check_items(pool, 0, 0, 10000, 0);
    CHECK_EQ(pp_stats_of(pool).retired, 3);
    CHECK_EQ(pp_stats_of(pool).deaths, 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* ---- Bytes ---------------------------------------------------------------------------- */

static void check_bytes(pp_pool *pool, size_t *in, size_t *out, size_t in_more, size_t out_more)
{
    pp_stats stats = pp_stats_of(pool);

    CHECK_EQ(stats.bytes_in, *in + in_more);
    CHECK_EQ(stats.bytes_out, *out + out_more);
    *in = stats.bytes_in;
    *out = stats.bytes_out;
}

TEST(bytes)
{
    static long items[10000], values[10000];
    pp_pool *pool = pool_of(2);
    long *shared = pp_shared_alloc(pool, sizeof items);
    size_t in = 0, out = 0;
    pp_bytes back, sent = { values, 5000 };
    pp_result *result;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), &values[0]), 0);
    check_bytes(pool, &in, &out, sizeof(long), sizeof(long));
    CHECK_EQ(pp_map(pool, square, items, 10000, values), 0);
    check_bytes(pool, &in, &out, sizeof items, sizeof values);
    result = pp_map_async(pool, square, items, 10000);
    CHECK_EQ(pp_get(result, values), 0);
    check_bytes(pool, &in, &out, sizeof items, sizeof values);
    CHECK_EQ(pp_map(pool, square, shared, 10000, shared), 0);
    check_bytes(pool, &in, &out, 0, 0);
    CHECK_EQ(pp_map(pool, square, shared, 10000, values), 0);
    check_bytes(pool, &in, &out, 0, sizeof values);
    CHECK_EQ(pp_apply(pool, PP_CALL(echo, sent), &back), 0);
    free((void *)back.data);
    CHECK(pp_stats_of(pool).bytes_in >= in + 5000);
    CHECK_EQ(pp_stats_of(pool).bytes_out, out + 5000);
    finish(pool);
}

/* ---- Workers ---------------------------------------------------------------------------- */

TEST(of_workers)
{
    struct gate *gate = gate_new();
    pp_worker_stats workers[4];
    pp_pool *pool = pool_of(3);
    pp_result *results[2];
    size_t busy = 0;

    memset(workers, 0x55, sizeof workers);
    for (int i = 0; i < 2; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_and_square, gate, i));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_EQ(pp_worker_stats_of(pool, workers, 4), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(workers[i].id, i);
        CHECK_EQ(workers[i].incarnation, 1);
        CHECK(is_alive(workers[i].pid));
        CHECK_EQ(workers[i].tasks + workers[i].items + workers[i].deaths, 0);
        busy += workers[i].state == PP_WORKER_BUSY;
        if (workers[i].state == PP_WORKER_BUSY)
            CHECK_STR(workers[i].function, "wait_and_square");
        else
            CHECK(workers[i].state == PP_WORKER_IDLE && !workers[i].function);
    }
    CHECK_EQ(busy, 2);
    CHECK_EQ(workers[3].id, 0x55555555);
    gate_open(gate);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pp_get(results[i], NULL), 0);
    finish(pool);
    gate_free(gate);
}

TEST(less_room_than_workers)
{
    pp_worker_stats workers[2] = { [1].id = 77 };
    pp_pool *pool = pool_of(3);

    CHECK_EQ(pp_worker_stats_of(pool, workers, 1), 3);
    CHECK_EQ(workers[0].id, 0);
    CHECK_EQ(workers[1].id, 77);
    CHECK_EQ(pp_worker_stats_of(pool, NULL, 0), 3);
    CHECK_EQ(pp_worker_stats_of(pool, NULL, 5), 3);
    finish(pool);
}

TEST(two_hundred, .timeout = 60)
{
    static pp_worker_stats workers[200];
    static long items[5000];
    pp_pool *pool = pool_of(200);
    size_t done = 0;

    CHECK_EQ(pp_map(pool, square, items, 5000, NULL, .chunksize = 1), 0);
    CHECK_EQ(pp_worker_stats_of(pool, workers, 200), 200);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(workers[i].id, i);
    CHECK_SOON((done = 0, pp_worker_stats_of(pool, workers, 200), ({
                    for (int i = 0; i < 200; i++)
                        done += workers[i].items;
                    done == 5000;
                })));
    finish(pool);
}

/* Who ends in the middle of a chunk has run its part, and its successor the rest. */
TEST(items_of_a_chunk_that_two_have_run)
{
    struct gate *gate = gate_new();
    struct gate *items[20] = { [13] = gate };
    pp_pool *pool = pp_pool_new(.processes = 1, .max_tasks_per_child = 10);
    pp_result *result = pp_map_async(pool, pass, items, 20, .chunksize = 20);

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(only(pool).incarnation, 2);
    CHECK_EQ(only(pool).items, 3);
    check_items(pool, 6, 1, 13, 0);
    gate_open(gate);
    CHECK_EQ(pp_get(result, NULL), 0);
    finish(pool);
    gate_free(gate);
}

/* What was cancelled was not run. */
TEST(items_that_were_not_run)
{
    struct gate *gate = gate_new();
    PP_ARGS(pass_or_fail) items[100] = { [10].fails = true, [50].gate = gate };
    pp_pool *pool = pool_of(1);
    pp_result *map = pp_starmap_async(pool, pass_or_fail, items, 100, .chunksize = 100,
                                      .stop_on_error = true);
    pp_worker_stats stats;

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK(!pp_ready(map)); /* it takes in that one has failed */
    gate_open(gate);
    CHECK_EQ(pp_get(map, NULL), PP_ERAISED);
    CHECK_SOON((stats = only(pool)).tasks == 1);
    CHECK_EQ(stats.items, 51);
    check_items(pool, 0, 0, 100, 50);
    finish(pool);
    gate_free(gate);
}

TEST(deaths_of_an_id)
{
    const int how[] = { 2 };
    pp_pool *pool = pool_of(1);
    pp_worker_stats stats;

    CHECK_EQ(only(pool).deaths, 0);
    for (size_t i = 1; i <= 3; i++) {
        CHECK_EQ(pp_map(pool, fail_or_die, how, 1, NULL), PP_ECRASHED);
        CHECK_SOON((stats = only(pool)).deaths == i && stats.incarnation == (int)i + 1);
        CHECK_EQ(stats.cause, PP_DIED_IN_TASK);
        CHECK_EQ(stats.signal, 0);
        CHECK_EQ(stats.status, 3);
    }
    CHECK_SOON((stats = only(pool)).state == PP_WORKER_IDLE);
    CHECK_EQ(kill(stats.pid, SIGKILL), 0);
    CHECK_SOON((stats = only(pool)).deaths == 4);
    CHECK_EQ(stats.cause, PP_DIED_IDLE);
    CHECK_EQ(stats.signal, SIGKILL);
    CHECK_EQ(stats.status, 0);
    finish(pool);
}

/* ---- Times ------------------------------------------------------------------------------- */

static bool is_busy(pp_pool *pool)
{
    return only(pool).state == PP_WORKER_BUSY;
}

/* One of both grows, the other stays as it is. */
TEST(times)
{
    struct gate *gate = gate_new();
    pp_worker_stats first, second;
    pp_pool *pool = pool_of(1);
    pp_result *result;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), NULL), 0);
    CHECK_SOON(!is_busy(pool));
    CHECK_SOON((first = only(pool), harness_nap(), second = only(pool),
                second.waiting > first.waiting && second.busy == first.busy));
    result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    first = only(pool);
    CHECK_EQ(first.state, PP_WORKER_BUSY);
    harness_nap();
    second = only(pool);
    CHECK_EQ(second.waiting, first.waiting);
    CHECK(second.busy >= first.busy + 1e-3);
    CHECK(second.busy + second.waiting <= pp_stats_of(pool).elapsed);
    gate_open(gate);
    CHECK_EQ(pp_get(result, NULL), 0);
    finish(pool);
    gate_free(gate);
}

/* However short its waits are, a worker that mostly waits is seen to. */
TEST(short_waits)
{
    for (int spin = 0; spin < 2; spin++) {
        pp_pool *pool = pp_pool_new(.processes = 1, .spin = (pp_spin)spin);
        pp_worker_stats stats;

        for (int i = 0; i < 20; i++) {
            CHECK_EQ(pp_apply(pool, PP_CALL(square, i), NULL), 0);
            harness_nap();
        }
        stats = only(pool);
        CHECK(stats.waiting >= 0.015);
        CHECK(stats.waiting + stats.busy <= pp_stats_of(pool).elapsed);
        CHECK_EQ(stats.tasks, 20);
        finish(pool);
    }
}

/* ---- States ------------------------------------------------------------------------------ */

static struct gate *starting;

static int start_slowly(void *arg)
{
    (void)arg;
    if (pp_worker_incarnation() > 1)
        gate_wait(starting);
    return 0;
}

static void end_slowly(void *local)
{
    (void)local;
    gate_wait(starting + 1);
}

TEST(states)
{
    const int how[] = { 2 };
    pp_pool *pool;

    starting = shared_new(2 * sizeof *starting);
    pool = pp_pool_new(.processes = 1, .initializer = start_slowly, .finalizer = end_slowly);
    CHECK_SOON(only(pool).state == PP_WORKER_IDLE);
    CHECK_EQ(pp_map(pool, fail_or_die, how, 1, NULL), PP_ECRASHED);
    CHECK_SOON(atomic_load(&starting->waiting) == 1);
    CHECK_EQ(only(pool).state, PP_WORKER_STARTING);
    CHECK_EQ(only(pool).busy + only(pool).waiting, 0);
    gate_open(starting);
    CHECK_SOON(only(pool).state == PP_WORKER_IDLE);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool, .timeout = 0), -ETIMEDOUT);
    CHECK_SOON(atomic_load(&starting[1].waiting) == 1);
    CHECK_EQ(only(pool).state, PP_WORKER_LEAVING);
    gate_open(starting + 1);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    shared_free(starting, 2 * sizeof *starting);
}

/* ---- Whoever asks, and when ---------------------------------------------------------------- */

TEST(null_and_children)
{
    pp_pool *pool = pool_of(1);
    pp_worker_stats worker;
    int status;
    pid_t pid;

    CHECK_EQ(pp_stats_of(NULL).processes, 0);
    CHECK_EQ(pp_worker_stats_of(NULL, &worker, 1), 0);
    pid = fork();
    if (pid == 0)
        _exit(pp_stats_of(pool).processes == 0 && pp_worker_stats_of(pool, &worker, 1) == 0
                  ? 3 : 4);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 3);
    finish(pool);
}

struct watcher {
    pp_pool *pool;
    atomic_int stop;
    size_t looks;
};

/* Nothing goes back, and the sum is right at any time. */
static void *watch(void *what)
{
    struct watcher *watcher = what;
    size_t done = 0, failed = 0, out = 0;

    while (!atomic_load(&watcher->stop)) {
        pp_worker_stats workers[4];
        pp_stats stats = pp_stats_of(watcher->pool);
        size_t sum = stats.queued + stats.running + stats.done;

        CHECK(stats.done >= done && stats.failed >= failed && stats.bytes_out >= out);
        CHECK(stats.failed <= stats.done);
        CHECK(sum % 5000 == 0);
        CHECK(stats.running <= 4);
        CHECK(pp_worker_stats_of(watcher->pool, workers, 4) <= 4);
        done = stats.done;
        failed = stats.failed;
        out = stats.bytes_out;
        watcher->looks++;
    }
    return NULL;
}

TEST(while_others_work, .timeout = 60)
{
    static int items[5000];
    struct watcher watcher = { .pool = pool_of(4) };
    pthread_t thread;

    items[1000] = items[3000] = 1;
    items[2000] = 2;
    CHECK_EQ(pthread_create(&thread, NULL, watch, &watcher), 0);
    for (int i = 0; i < 30; i++)
        CHECK_EQ(pp_map(watcher.pool, fail_or_die, items, 5000, NULL), PP_ERAISED);
    atomic_store(&watcher.stop, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(watcher.looks > 0);
    check_items(watcher.pool, 0, 0, 30 * 5000, 30 * 3);
    finish(watcher.pool);
}
