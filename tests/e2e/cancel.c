/* SPDX-License-Identifier: MIT */
/* pp_cancel(): ends what it is called for, and nothing else.  What happens when a task is
   cancelled as it ends is in races.c. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

/* What a task does. */
enum way {
    FINE,
    SPIN,
    SLEEP,
    IGNORE_TERM,
    BLOCK_ALL,
    STOP,
    WAYS,
};

struct mark {
    atomic_int runs;
    atomic_int pid;
    atomic_int terms;
};

static struct mark *marked;
static volatile sig_atomic_t told;

static void note_term(int signal)
{
    (void)signal;
    told = 1;
    atomic_fetch_add(&marked->terms, 1);
}

static void begin(struct mark *mark)
{
    told = 0;
    marked = mark;
    atomic_store(&mark->pid, getpid());
    atomic_fetch_add(&mark->runs, 1);
}

static long stay_or_triple(struct mark *mark, enum way way, long x)
{
    sigset_t all;

    if (way == IGNORE_TERM)
        signal(SIGTERM, note_term);
    sigfillset(&all);
    if (way == BLOCK_ALL)
        sigprocmask(SIG_BLOCK, &all, NULL);
    begin(mark);
    if (way == FINE)
        return 3 * x + 1;
    if (way == STOP)
        raise(SIGSTOP);
    while (way == SPIN)
        ;
    for (;;)
        pause();
}
PP_TASK(long, stay_or_triple, struct mark *, mark, enum way, way, long, x);

/* Ends well when it is told to end. */
static long heed(struct mark *mark, long x)
{
    signal(SIGTERM, note_term);
    begin(mark);
    while (!told)
        sleep_for(100);
    signal(SIGTERM, SIG_DFL);
    return 3 * x + 1;
}
PP_TASK(long, heed, struct mark *, mark, long, x);

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

static void check_works(pp_pool *pool)
{
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(triple, 12), &value), 0);
    CHECK_EQ(value, 37);
}

static void check_cancelled(pp_result *result, const char *function)
{
    const pp_error *error;
    long value = 42;

    CHECK_EQ(pp_get(result, &value), PP_ECANCELLED);
    CHECK_EQ(value, 42);
    CHECK(!pp_successful(result));
    CHECK_EQ(pp_failures(result), 1);
    error = pp_error_of(result);
    CHECK(error != NULL);
    CHECK_EQ(error->kind, PP_CANCELLED);
    CHECK_EQ(error->code, 0);
    CHECK_EQ(error->signal, 0);
    CHECK_EQ(error->status, 0);
    CHECK_EQ(error->index, 0);
    CHECK_STR(error->function, function);
    CHECK(*error->message);
}

/* ---- Calls that wait ----------------------------------------------------------- */

/* It ends at once, though the only worker is held. */
TEST(in_the_queue)
{
    struct mark *mark = shared_new(sizeof *mark);
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *running = pp_apply_async(pool, PP_CALL(wait_and_triple, gate, 1)), *queued, *last;
    long value = 0;

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    queued = pp_apply_async(pool, PP_CALL(stay_or_triple, mark, FINE, 2));
    last = pp_apply_async(pool, PP_CALL(triple, 3));
    CHECK_EQ(pp_cancel(queued), 0);
    CHECK_EQ(pp_wait(queued, .timeout = 60), 0);
    check_cancelled(queued, "stay_or_triple");
    CHECK_EQ(pp_error_of(queued)->pid, 0);
    CHECK_EQ(pp_cancel(queued), -EALREADY);
    CHECK(!pp_ready(running));
    gate_open(gate);
    CHECK_EQ(pp_get(running, &value), 0);
    CHECK_EQ(value, 4);
    CHECK_EQ(pp_get(last, &value), 0);
    CHECK_EQ(value, 10);
    CHECK_EQ(atomic_load(&mark->runs), 0);
    finish(pool);
    gate_free(gate);
    shared_free(mark, sizeof *mark);
}

static void check_queued_map(size_t count, long chunksize)
{
    struct mark *mark = shared_new(sizeof *mark);
    struct gate *gate = gate_new();
    PP_ARGS(stay_or_triple) *items = calloc(count, sizeof *items);
    pp_pool *pool = pool_of(2);
    pp_result *running[2], *queued, *last;

    for (int i = 0; i < 2; i++)
        running[i] = pp_apply_async(pool, PP_CALL(wait_and_triple, gate, 1));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    for (size_t i = 0; i < count; i++)
        items[i] = (PP_ARGS(stay_or_triple)){ mark, FINE, (long)i };
    queued = pp_starmap_async(pool, stay_or_triple, items, count, .chunksize = chunksize);
    last = pp_apply_async(pool, PP_CALL(triple, 3));
    CHECK_EQ(pp_cancel(queued), 0);
    CHECK_EQ(pp_wait(queued, .timeout = 60), 0);
    CHECK_EQ(pp_get(queued, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_failures(queued), count);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(pp_failure(queued, i)->index, i);
        CHECK_EQ(pp_failure(queued, i)->kind, PP_CANCELLED);
    }
    gate_open(gate);
    CHECK_EQ(pp_get(last, NULL), 0);
    CHECK_EQ(pp_get(running[0], NULL) | pp_get(running[1], NULL), 0);
    CHECK_EQ(atomic_load(&mark->runs), 0);
    finish(pool);
    gate_free(gate);
    shared_free(mark, sizeof *mark);
    free(items);
}

TEST(map_in_the_queue)
{
    check_queued_map(1, 0);
    check_queued_map(1000, 0);
    check_queued_map(1000, 10);
    check_queued_map(100, 1000);
}

/* More tasks than the queue holds. */
TEST(map_in_the_backlog, .timeout = 60)
{
    check_queued_map(20000, 1);
    check_queued_map(100000, 10);
}

/* One of the backlog's many, and all others are run. */
TEST(calls_in_the_backlog, .timeout = 60)
{
    enum { COUNT = 12000 };
    struct gate *gate = gate_new();
    pp_result **results = calloc(COUNT, sizeof(pp_result *));
    pp_pool *pool = pool_of(1);
    long value = 0;

    CHECK(pp_apply_async(pool, PP_CALL(wait_and_triple, gate, 1)));
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    for (long i = 0; i < COUNT; i++)
        results[i] = pp_apply_async(pool, PP_CALL(triple, i));
    for (long i = COUNT - 1; i >= 0; i--)
        if (i % 3 == 0)
            CHECK_EQ(pp_cancel(results[i]), 0);
    for (long i = 0; i < COUNT; i += 3)
        CHECK_EQ(pp_get(results[i], NULL), PP_ECANCELLED);
    gate_open(gate);
    for (long i = 0; i < COUNT; i++) {
        CHECK_EQ(pp_get(results[i], &value), i % 3 ? 0 : PP_ECANCELLED);
        if (i % 3)
            CHECK_EQ(value, 3 * i + 1);
    }
    finish(pool);
    gate_free(gate);
    free(results);
}

/* What is cancelled leaves the order of the others as it is. */
static long note_order(atomic_long *next, long x)
{
    (void)x;
    return atomic_fetch_add(next, 1);
}
PP_TASK(long, note_order, atomic_long *, next, long, x);

TEST(order_of_the_others)
{
    enum { COUNT = 300 };
    struct gate *gate = gate_new();
    atomic_long *next = shared_new(sizeof *next);
    pp_pool *pool = pool_of(1);
    pp_result *results[COUNT];
    long value = 0, expected = 0;

    CHECK(pp_apply_async(pool, PP_CALL(wait_and_triple, gate, 1)));
    for (long i = 0; i < COUNT; i++)
        results[i] = pp_apply_async(pool, PP_CALL(note_order, next, i));
    for (long i = 0; i < COUNT; i++)
        if (i % 7 < 3)
            CHECK_EQ(pp_cancel(results[i]), 0);
    gate_open(gate);
    for (long i = 0; i < COUNT; i++)
        if (i % 7 >= 3) {
            CHECK_EQ(pp_get(results[i], &value), 0);
            CHECK_EQ(value, expected++);
        }
    finish(pool);
    gate_free(gate);
    shared_free(next, sizeof *next);
}

/* ---- Calls that run ------------------------------------------------------------- */

static void check_running(int workers, double grace)
{
    struct mark *marks = shared_new(WAYS * sizeof *marks);
    pp_pool *pool = pool_of(workers);

    for (int way = FINE + 1; way < WAYS; way++) {
        pp_result *result =
            pp_apply_async(pool, PP_CALL(stay_or_triple, &marks[way], (enum way)way, 1),
                           .grace = grace);

        CHECK_SOON(atomic_load(&marks[way].runs) == 1);
        CHECK_EQ(pp_cancel(result), 0);
        CHECK_EQ(pp_wait(result, .timeout = 60), 0);
        check_cancelled(result, "stay_or_triple");
        CHECK_SOON(!is_alive(atomic_load(&marks[way].pid))); /* it may still be exiting */
        check_works(pool);
        CHECK_EQ(atomic_load(&marks[way].runs), 1);
    }
    CHECK_EQ(atomic_load(&marks[IGNORE_TERM].terms), grace > 0 ? 1 : 0);
    finish(pool);
    shared_free(marks, WAYS * sizeof *marks);
}

TEST(running)
{
    check_running(2, 0);
}

TEST(running_on_the_only_worker)
{
    check_running(1, 0);
}

TEST(running_with_grace)
{
    check_running(2, 0.02);
}

/* Told to end by SIGTERM, it cleans up and returns: that is its outcome, and its process
   goes on. */
TEST(heeded)
{
    struct mark *mark = shared_new(sizeof *mark);
    pp_pool *pool = pool_of(1);
    struct census before, after;
    pp_result *result;
    long value = 0;

    CHECK(take_census(&before, 1));
    result = pp_apply_async(pool, PP_CALL(heed, mark, 1), .grace = 1000);
    CHECK_SOON(atomic_load(&mark->runs) == 1);
    CHECK_EQ(pp_cancel(result), 0);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 4);
    CHECK_EQ(atomic_load(&mark->terms), 1);
    for (int i = 0; i < 200; i++) {
        check_works(pool);
        sleep_for(100);
    }
    CHECK(take_census(&after, 1));
    CHECK_EQ(before.workers[0], after.workers[0]);
    finish(pool);
    shared_free(mark, sizeof *mark);
}

/* All of a pool's workers at once, again and again. */
TEST(all_workers, .timeout = 60)
{
    enum { WORKERS = 8, ROUNDS = 10 };
    struct mark *marks = shared_new(ROUNDS * WORKERS * sizeof *marks);
    pp_pool *pool = pool_of(WORKERS);
    pp_result *results[WORKERS];

    for (int round = 0; round < ROUNDS; round++) {
        struct mark *mine = marks + round * WORKERS;

        for (int i = 0; i < WORKERS; i++)
            results[i] = pp_apply_async(pool, PP_CALL(stay_or_triple, &mine[i], SLEEP, i));
        for (int i = 0; i < WORKERS; i++)
            CHECK_SOON(atomic_load(&mine[i].runs) == 1);
        for (int i = 0; i < WORKERS; i++)
            CHECK_EQ(pp_cancel(results[i]), 0);
        for (int i = 0; i < WORKERS; i++)
            CHECK_EQ(pp_get(results[i], NULL), PP_ECANCELLED);
    }
    check_works(pool);
    finish(pool);
    shared_free(marks, ROUNDS * WORKERS * sizeof *marks);
}

/* What has been done before stays done, also when nobody has looked at it yet. */
TEST(done_before)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pp_pool_new(.processes = 1, .callbacks = PP_CALLBACKS_POLL);
    pp_result *done = pp_apply_async(pool, PP_CALL(triple, 5));
    pp_result *running = pp_apply_async(pool, PP_CALL(wait_and_triple, gate, 6));
    long value = 0;

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_cancel(done), -EALREADY);
    CHECK_EQ(pp_get(done, &value), 0);
    CHECK_EQ(value, 16);
    gate_open(gate);
    CHECK_EQ(pp_get(running, &value), 0);
    CHECK_EQ(value, 19);
    finish(pool);
    gate_free(gate);
}

/* ---- Maps in the middle ----------------------------------------------------------- */

static long triple_up_to(struct gate *gate, atomic_int *runs, long last, long x)
{
    atomic_fetch_add(&runs[x], 1);
    if (x >= last)
        gate_wait(gate);
    return 3 * x + 1;
}
PP_TASK(long, triple_up_to, struct gate *, gate, atomic_int *, runs, long, last, long, x);

/* The first hundred items end, the next ones do not; then the map is cancelled. */
static void check_middle(int workers, long chunksize)
{
    enum { COUNT = 400, LAST = 100 };
    struct gate *gate = gate_new();
    atomic_int *runs = shared_new(COUNT * sizeof *runs);
    PP_ARGS(triple_up_to) items[COUNT];
    long out[COUNT] = { 0 };
    pp_pool *pool = pool_of(workers);
    pp_result *result;
    size_t failed = 0;

    for (long i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(triple_up_to)){ gate, runs, LAST, i };
    result = pp_starmap_async(pool, triple_up_to, items, COUNT, .chunksize = chunksize);
    CHECK_SOON(atomic_load(&gate->waiting) == workers);
    CHECK_EQ(pp_cancel(result), 0);
    CHECK_EQ(pp_wait(result, .timeout = 60), 0);
    CHECK_EQ(pp_get(result, out), PP_ECANCELLED);
    for (long i = 0; i < COUNT; i++) {
        bool fails = out[i] == 0;

        CHECK(fails || out[i] == 3 * i + 1);
        CHECK_EQ(fails, i >= LAST);
        CHECK(fails ? atomic_load(&runs[i]) <= 1 : atomic_load(&runs[i]) == 1);
        if (fails)
            CHECK_EQ(pp_failure(result, failed++)->index, (size_t)i);
    }
    CHECK_EQ(pp_failures(result), failed);
    CHECK_EQ(atomic_load(&gate->passed), 0);
    CHECK_EQ(atomic_load(&gate->waiting), workers); /* no other item has begun */
    check_works(pool);
    finish(pool);
    gate_free(gate);
    shared_free(runs, COUNT * sizeof *runs);
}

TEST(in_the_middle_of_a_chunk)
{
    check_middle(1, 1000);
    check_middle(1, 150);
}

TEST(in_the_middle_of_chunks)
{
    check_middle(2, 70);
    check_middle(4, 20);
    check_middle(4, 1);
}

TEST(in_the_middle_of_guided_chunks)
{
    check_middle(1, 0);
    check_middle(2, 0);
}

static void fail_or_wait(struct gate *gate, bool fails)
{
    if (fails)
        pp_raise(EDOM, "failed");
    gate_wait(gate);
}
PP_TASK(void, fail_or_wait, struct gate *, gate, bool, fails);

/* What was handed out before the failures were looked at one by one stays as it is. */
static void check_handed_out(pp_pool *pool, struct gate *gate, bool with_failure)
{
    enum { COUNT = 500 };
    PP_ARGS(fail_or_wait) items[COUNT];
    const pp_error *first, *last;
    pp_result *result;

    for (int i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(fail_or_wait)){ gate, with_failure && i == 0 };
    result = pp_starmap_async(pool, fail_or_wait, items, COUNT, .chunksize = 1);
    CHECK_SOON(atomic_load(&gate->waiting) > 0);
    CHECK_EQ(pp_cancel(result), 0);
    CHECK_EQ(pp_wait(result), 0);
    first = pp_error_of(result);
    CHECK_EQ(pp_failures(result), COUNT);
    last = pp_failure(result, COUNT - 1);
    CHECK_EQ(pp_failures(result), COUNT);
    CHECK_EQ(first->index, 0);
    CHECK_EQ(first->kind, with_failure ? PP_RAISED : PP_CANCELLED);
    CHECK_STR(first->function, "fail_or_wait");
    CHECK_STR(first->message, with_failure ? "failed" : "cancelled");
    CHECK_EQ(last->index, COUNT - 1);
    CHECK_EQ(last->kind, PP_CANCELLED);
    CHECK_STR(last->function, "fail_or_wait");
    CHECK_STR(last->message, "cancelled");
    CHECK_STR(pp_error_of(result)->message, first->message);
    atomic_store(&gate->waiting, 0);
}

TEST(errors_handed_out_stay)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);

    check_handed_out(pool, gate, false);
    check_handed_out(pool, gate, true);
    finish(pool);
    gate_free(gate);
}
