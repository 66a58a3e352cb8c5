/* SPDX-License-Identifier: MIT */
/* Pools: how they are made, closed, joined, terminated and freed, and by whom. */
#include <math.h>
#include <sys/wait.h>

#include "battery.h"

CASE(close_join_free)
{
    pp_pool *pool = new_pool(.processes = 2);

    CHECK_EQ(pp_join(pool), -EBUSY);
    CHECK_EQ(pp_join(pool, .timeout = 0), -EBUSY);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(processes(), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(pp_pool_free(NULL), 0);
}

CASE(number_of_workers)
{
    static const int counts[] = { 0, 1, 2, 7 };

    for (int i = 0; i < 4; i++) {
        pp_pool *pool = new_pool(.processes = counts[i]);

        for (int n = 0; n < 20; n++)
            check_works(pool);
        finish(pool);
    }
}

/* Waiting asleep at once changes nothing but the time that it takes. */
CASE(workers_that_never_spin)
{
    pp_pool *pool = new_pool(.processes = 2, .spin = PP_SPIN_NEVER);
    long items[300], out[300];

    for (long i = 0; i < 300; i++)
        items[i] = i;
    for (int i = 0; i < 100; i++)
        check_works(pool);
    CHECK_EQ(pp_map(pool, square, items, 300, out), 0);
    for (long i = 0; i < 300; i++)
        CHECK_EQ(out[i], i * i);
    finish(pool);
}

/* So many calls as there are workers run at a time, and no more. */
CASE(workers_run_side_by_side)
{
    for (int workers = 1; workers <= 5; workers += 2) {
        pp_pool *pool = new_pool(.processes = workers);
        struct gate *gate = gate_in(pool);

        for (int i = 0; i < 2 * workers; i++)
            CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, i)));
        CHECK_SOON(atomic_load(&gate->waiting) == workers);
        harness_nap();
        CHECK_EQ(atomic_load(&gate->waiting), workers);
        gate_open(gate);
        finish(pool);
    }
}

static void check_takes_nothing(pp_pool *pool)
{
    long item = 1;
    PP_ARGS(square) star = { 1 };

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL), -ESHUTDOWN);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(square, 1)), ESHUTDOWN);
    CHECK_EQ(pp_map(pool, square, &item, 1, NULL), -ESHUTDOWN);
    CHECK_NULL(pp_map_async(pool, square, &item, 1), ESHUTDOWN);
    CHECK_EQ(pp_starmap(pool, square, &star, 1, NULL), -ESHUTDOWN);
    CHECK_NULL(pp_starmap_async(pool, square, &star, 1), ESHUTDOWN);
    CHECK_NULL(pp_imap(pool, square, .items = &item, .count = 1), ESHUTDOWN);
    CHECK_NULL(pp_imap_unordered(pool, square, .items = &item, .count = 1), ESHUTDOWN);
}

CASE(closed_takes_nothing)
{
    pp_pool *pool = new_pool(.processes = 1);

    CHECK_EQ(pp_close(pool), 0);
    check_takes_nothing(pool);
    CHECK_EQ(pp_join(pool), 0);
    check_takes_nothing(pool);
    CHECK_EQ(pp_pool_free(pool), 0);
}

CASE(terminated_takes_nothing)
{
    pp_pool *pool = new_pool(.processes = 1);

    CHECK_EQ(pp_terminate(pool), 0);
    check_takes_nothing(pool);
    CHECK_EQ(pp_join(pool), 0);
    check_takes_nothing(pool);
    CHECK_EQ(pp_pool_free(pool), 0);
}

CASE(close_lets_calls_run_on)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct gate *gate = gate_in(pool);
    pp_result *results[100];

    for (long i = 0; i < 100; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_and_square, gate, i));
    CHECK_EQ(pp_close(pool), 0);
    if (runs_later()) {
        CHECK_EQ(pp_join(pool, .timeout = 0.01), -ETIMEDOUT);
        CHECK_EQ(pp_join(pool, .timeout = 0), -ETIMEDOUT);
    }
    CHECK_EQ(pp_join(pool, .timeout = NAN), -EINVAL);
    gate_open(gate);
    CHECK_EQ(pp_join(pool, .timeout = 1000), 0);
    for (long i = 0; i < 100; i++) { /* results can be got afterwards */
        long value = -1;

        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_pool_free(pool), 0);
}

struct opener {
    struct gate *gate;
    pp_result *waiting; /* opened when this is there */
};

static void *open_gate(void *arg)
{
    struct opener *opener = arg;

    pp_wait(opener->waiting);
    gate_open(opener->gate);
    return NULL;
}

/* What is there stays, what waits is cancelled; what runs is killed, or, where it cannot
   be, awaited. */
CASE(terminate)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    pp_result *there = pp_apply_async(pool, PP_CALL(echo, "there"));
    pp_result *running = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    pp_result *waiting = pp_apply_async(pool, PP_CALL(touch, counter_in(pool)));
    struct opener opener = { gate, waiting };
    const char *text = NULL;
    pthread_t thread;
    int code;

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK(!in_processes() || pp_wait(there) == 0);
    if (!in_processes())
        CHECK_EQ(pthread_create(&thread, NULL, open_gate, &opener), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    if (!in_processes())
        CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_get(there, &text), 0);
    CHECK_STR(text, "there");
    CHECK_EQ(pp_get(waiting, NULL), PP_ECANCELLED);
    code = pp_get(running, NULL);
    CHECK(code == PP_ECANCELLED || (!in_processes() && code == 0));
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(processes(), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

CASE(terminate_many)
{
    pp_pool *pool = new_pool(.processes = 2);
    static pp_result *results[5000];
    int there = 0;

    for (long i = 0; i < 5000; i++)
        results[i] = pp_apply_async(pool, PP_CALL(square, i));
    CHECK_EQ(pp_terminate(pool), 0);
    for (long i = 0; i < 5000; i++) {
        long value = -1;
        int code = pp_get(results[i], &value);

        CHECK(code == 0 || code == PP_ECANCELLED);
        CHECK_EQ(value, code == 0 ? i * i : -1);
        there += code == 0;
    }
    CHECK(runs_later() || there == 5000);
    CHECK_EQ(pp_pool_free(pool), 0);
}

CASE(free_in_any_state)
{
    for (int state = 0; state < 12; state++) {
        pp_pool *pool = new_pool(.processes = 2);
        struct gate *gate = gate_in(pool);
        long items[100] = { 0 };

        if (state % 3 == 1) /* results that nobody gets */
            CHECK(pp_map_async(pool, square, items, 100) &&
                  pp_imap(pool, square, .items = items, .count = 100));
        if (state % 3 == 2) /* calls that do not end */
            for (int i = 0; i < 5; i++)
                CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, i)));
        if (state / 3 == 1)
            CHECK_EQ(pp_close(pool), 0);
        let_end(gate);
        if (state / 3 == 2)
            CHECK_EQ(pp_terminate(pool), 0);
        CHECK_EQ(pp_pool_free(pool), 0);
        CHECK_EQ(processes(), 0);
    }
}

CASE(scoped)
{
    for (int i = 0; i < 3; i++) {
        PP_SCOPED pp_pool *pool = new_pool(.processes = 1);

        check_works(pool);
        if (i == 1)
            continue;
        CHECK(pp_apply_async(pool, PP_CALL(square, 1)));
    }
    CHECK_EQ(processes(), 0);
}

CASE(made_and_freed_often, .timeout = 60)
{
    for (int i = 0; i < (HARNESS_SANITIZED ? 20 : 100); i++) {
        pp_pool *pool = new_pool(.processes = 1 + i % 3,
                                 .callbacks = i % 2 ? PP_CALLBACKS_POLL : PP_CALLBACKS_THREAD);

        check_works(pool);
        CHECK(pp_shared_alloc(pool, 10000) != NULL);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
    CHECK_EQ(processes(), 0);
}

CASE(several_pools)
{
    pp_pool *pools[4];
    pp_result *results[4][50];

    for (int p = 0; p < 4; p++)
        pools[p] = new_pool(.processes = 1 + p % 2);
    for (long i = 0; i < 50; i++)
        for (int p = 0; p < 4; p++)
            results[p][i] = pp_apply_async(pools[p], PP_CALL(square, 10 * i + p));
    for (int p = 3; p >= 0; p--) {
        for (long i = 0; i < 50; i++) {
            long value = 0;

            CHECK_EQ(pp_get(results[p][i], &value), 0);
            CHECK_EQ(value, (10 * i + p) * (10 * i + p));
        }
        finish(pools[p]);
    }
}

/* ---- By whom ---- */

static bool refuses_child(pp_pool *pool, pp_result *result, pp_iter *iter)
{
    long item = 1;

    errno = 0;
    return pp_apply(pool, PP_CALL(square, 1), NULL) == -ECHILD &&
           !pp_apply_async(pool, PP_CALL(square, 1)) && errno == ECHILD &&
           pp_map(pool, square, &item, 1, NULL) == -ECHILD &&
           !pp_map_async(pool, square, &item, 1) && pp_get(result, NULL) == -ECHILD &&
           pp_wait(result) == -ECHILD && !pp_ready(result) && !pp_successful(result) &&
           pp_cancel(result) == -ECHILD && pp_progress_of(result).total == 0 &&
           pp_next(iter, NULL) == -ECHILD && pp_close(pool) == -ECHILD &&
           pp_join(pool) == -ECHILD && pp_terminate(pool) == -ECHILD &&
           !pp_shared_alloc(pool, 1) && pp_pool_fd(pool) == -ECHILD &&
           pp_poll(pool) == -ECHILD;
}

CASE(forked_child_is_refused)
{
    pp_pool *pool = new_pool(.processes = 1, .callbacks = PP_CALLBACKS_POLL);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 3));
    long item = 4, value = 0;
    pp_iter *iter = pp_imap(pool, square, .items = &item, .count = 1);
    int status;
    pid_t child = fork();

    if (child == 0) {
        bool refused = refuses_child(pool, result, iter);

        pp_result_free(result);
        pp_iter_free(iter);
        _exit(refused && pp_pool_free(pool) == 0 ? 0 : 1);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(pp_get(result, &value), 0); /* and nothing has happened here */
    CHECK_EQ(value, 9);
    CHECK_EQ(pp_next(iter, &value), 0);
    CHECK_EQ(value, 16);
    finish(pool);
}

static void *make(void *arg)
{
    *(pp_pool **)arg = new_pool(.processes = 2);
    return NULL;
}

static void *use_and_free(void *arg)
{
    check_works(*(pp_pool **)arg);
    finish(*(pp_pool **)arg);
    return NULL;
}

CASE(made_used_and_freed_by_different_threads)
{
    for (int i = 0; i < 10; i++) {
        pp_pool *pool = NULL;

        in_thread(make, &pool);
        check_works(pool);
        in_thread(use_and_free, &pool);
    }
}

static int square_in_a_pool(int x, int start)
{
    pp_pool *pool;
    long value = 0;

    if (method != (enum method)start) /* in a fresh image it is not known yet */
        method = (enum method)start;
    pool = try_pool(.processes = 1);
    if (!pool)
        pp_raise(errno, "no pool");
    if (pp_apply(pool, PP_CALL(square, x), &value) != 0 || pp_pool_free(pool) != 0)
        pp_raise(1, "no value");
    return (int)value;
}
PP_TASK(int, square_in_a_pool, int, x, int, start);

/* A pool that is made in a task belongs to its worker. */
CASE(pool_in_a_task)
{
    pp_pool *pool = new_pool(.processes = 2);
    PP_ARGS(square_in_a_pool) items[8];
    int out[8];

    for (int i = 0; i < 8; i++)
        items[i] = (PP_ARGS(square_in_a_pool)){ i, (int)method };
    CHECK_EQ(pp_starmap(pool, square_in_a_pool, items, 8, out), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(out[i], i * i);
    finish(pool);
}

/* A task that asks its own pool for a value. */
static long square_by(pp_pool *pool, long x)
{
    long value = -1;
    int code = pp_apply(pool, PP_CALL(square, x), &value);

    return code ? code : value;
}
PP_TASK(long, square_by, pp_pool *, pool, long, x);

/* In a process of its own it is refused like any other child.  Another thread can do it;
   inline it would have to wait for its own end. */
CASE(task_uses_its_pool)
{
    static const long values[METHODS] = {
        [FORK] = -ECHILD, [THREADS] = 36, [INLINE] = -EDEADLK,
    };
    pp_pool *pool = new_pool(.processes = 2);
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square_by, pool, 6), &value), 0);
    CHECK_EQ(value, values[method]);
    finish(pool);
}

static long get_by(pp_result *there)
{
    long value = -1;
    int code = pp_get(there, &value, .timeout = 0);

    return code ? code : value;
}
PP_TASK(long, get_by, pp_result *, there);

/* What is there already can be got without a wait. */
CASE(task_gets_what_is_there)
{
    pp_pool *pool = new_pool(.processes = 2);
    pp_result *there = pp_apply_async(pool, PP_CALL(square, 8));
    long value = 0;

    CHECK_EQ(pp_wait(there), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(get_by, there), &value), 0);
    CHECK_EQ(value, 64);
    finish(pool);
}

static int submit_by(pp_pool *pool, atomic_int *counter)
{
    return pp_apply_async(pool, PP_CALL(touch, counter)) ? 0 : -errno;
}
PP_TASK(int, submit_by, pp_pool *, pool, atomic_int *, counter);

/* What it submits runs afterwards, or beside. */
CASE(task_submits)
{
    pp_pool *pool = new_pool(.processes = 2);
    atomic_int *counter = counter_in(pool);
    int codes[20];
    PP_ARGS(submit_by) items[20];

    for (int i = 0; i < 20; i++)
        items[i] = (PP_ARGS(submit_by)){ pool, counter };
    CHECK_EQ(pp_starmap(pool, submit_by, items, 20, codes, .chunksize = 3), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(codes[i], in_processes() ? -ECHILD : 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(atomic_load(counter), in_processes() ? 0 : 20);
    CHECK_EQ(pp_pool_free(pool), 0);
}

static int join_from(pp_pool *pool)
{
    pp_close(pool);
    return pp_join(pool);
}
PP_TASK(int, join_from, pp_pool *, pool);

static int terminate_from(pp_pool *pool)
{
    return pp_terminate(pool);
}
PP_TASK(int, terminate_from, pp_pool *, pool);

static int free_from(pp_pool *pool)
{
    return pp_pool_free(pool);
}
PP_TASK(int, free_from, pp_pool *, pool);

/* Its end would wait for the task. */
CASE(task_ends_its_pool)
{
    pp_pool *pool = new_pool(.processes = 2);
    int joined = 0, terminated = 0, freed = 1;

    CHECK_EQ(pp_apply(pool, PP_CALL(free_from, pool), &freed), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(terminate_from, pool), &terminated), 0);
    check_works(pool);
    CHECK_EQ(pp_apply(pool, PP_CALL(join_from, pool), &joined), 0);
    CHECK_EQ(terminated, in_processes() ? -ECHILD : -EDEADLK);
    CHECK_EQ(freed, in_processes() ? 0 : -EDEADLK);
    CHECK_EQ(joined, in_processes() ? -ECHILD : -EDEADLK);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}
