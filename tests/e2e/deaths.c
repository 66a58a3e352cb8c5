/* SPDX-License-Identifier: MIT */
/* .on_death: each worker that dies otherwise than it should is told of, once. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

/* What was told, by whichever thread. */
static struct {
    pthread_mutex_t lock;
    size_t count;
    pp_death last;
    char function[64], message[256];
    pthread_t thread;
    pp_pool *pool;
    bool waits; /* for a result that is to be there when a death is told */
    pp_result *result;
    size_t ready;
    size_t named; /* deaths with a task */
    int done; /* of what the callback does with the pool */
} told = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void tell(const pp_death *death, void *user)
{
    CHECK_EQ(pthread_mutex_trylock(&told.lock), 0); /* one at a time */
    CHECK(user == &told);
    CHECK_EQ(death->size, sizeof *death);
    told.last = *death;
    snprintf(told.message, sizeof told.message, "%s", death->message);
    snprintf(told.function, sizeof told.function, "%s", death->function ? death->function : "");
    while (told.waits && !__atomic_load_n(&told.result, __ATOMIC_ACQUIRE))
        ; /* it may have died while it was submitted */
    told.ready += told.result && pp_ready(told.result);
    told.named += death->function != NULL;
    told.thread = pthread_self();
    __atomic_add_fetch(&told.count, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&told.lock);
}

static size_t deaths(void)
{
    return __atomic_load_n(&told.count, __ATOMIC_SEQ_CST);
}

static pp_pool *told_pool(int workers)
{
    pp_pool *pool = pp_pool_new(.processes = workers, .on_death = tell, .user = &told);

    CHECK(pool != NULL);
    return pool;
}

static pid_t own_pid(void)
{
    return getpid();
}
PP_TASK(pid_t, own_pid);

static long crash_at(long x)
{
    if (x < 0)
        raise((int)-x);
    return x;
}
PP_TASK(long, crash_at, long, x);

static void leave(int status)
{
    _exit(status);
}
PP_TASK(void, leave, int, status);

static void stay(struct gate *gate)
{
    gate_wait(gate);
}
PP_TASK(void, stay, struct gate *, gate);

static pid_t some_worker(pp_pool *pool)
{
    pid_t pid = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(own_pid), &pid), 0);
    return pid;
}

/* ---- What is told ----------------------------------------------------------------- */

TEST(a_crash_in_a_task)
{
    pp_pool *pool = told_pool(1);
    pid_t pid = some_worker(pool);

    CHECK_EQ(pp_apply(pool, PP_CALL(crash_at, -SIGSEGV), NULL), PP_ECRASHED);
    CHECK_SOON(deaths() == 1);
    CHECK_EQ(told.last.cause, PP_DIED_IN_TASK);
    CHECK_EQ(told.last.worker, 0);
    CHECK_EQ(told.last.incarnation, 1);
    CHECK_EQ(told.last.pid, pid);
    CHECK_EQ(told.last.signal, SIGSEGV);
    CHECK_EQ(told.last.status, 0);
    CHECK_EQ(told.last.index, 0);
    CHECK_STR(told.function, "crash_at");
    CHECK_HAS(told.message, "crash_at(...) was killed by SIGSEGV");
    CHECK_EQ(pp_apply(pool, PP_CALL(leave, 3), NULL), PP_ECRASHED);
    CHECK_SOON(deaths() == 2);
    CHECK_EQ(told.last.incarnation, 2);
    CHECK_EQ(told.last.signal, 0);
    CHECK_EQ(told.last.status, 3);
    CHECK_STR(told.message, "leave(...) exited with status 3");
    finish(pool);
    CHECK_EQ(deaths(), 2);
}

TEST(an_item_of_a_map)
{
    long items[100] = { 0 };
    pp_pool *pool = told_pool(2);

    items[37] = -SIGABRT;
    CHECK_EQ(pp_map(pool, crash_at, items, 100, NULL, .chunksize = 10), PP_ECRASHED);
    CHECK_SOON(deaths() == 1);
    CHECK_EQ(told.last.index, 37);
    CHECK_HAS(told.message, "crash_at(...) with item 37 was killed by SIGABRT");
    finish(pool);
}

TEST(an_item_of_an_iterator)
{
    long items[100] = { 0 };
    pp_pool *pool = told_pool(2);
    pp_iter *iter;

    items[37] = -SIGABRT;
    iter = pp_imap(pool, crash_at, .items = items, .count = 100, .chunksize = 10);
    while (pp_next(iter, NULL) != PP_STOP_ITERATION)
        ;
    CHECK_SOON(deaths() == 1);
    CHECK_EQ(told.last.index, 37);
    CHECK_STR(told.function, "crash_at");
    finish(pool);
}

/* Nobody waits, and nothing is open. */
TEST(an_idle_worker_that_is_killed)
{
    pp_pool *pool = told_pool(2);

    for (size_t i = 1; i <= 10; i++) {
        pid_t pid = some_worker(pool);

        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_SOON(deaths() == i);
        CHECK_EQ(told.last.cause, PP_DIED_IDLE);
        CHECK_EQ(told.last.pid, pid);
        CHECK_EQ(told.last.signal, SIGKILL);
        CHECK(told.last.function == NULL);
        CHECK_STR(told.message, "an idle worker was killed by SIGKILL");
    }
    finish(pool);
    CHECK_EQ(deaths(), 10);
}

/* In a pool that has never had anything to do. */
TEST(one_that_has_never_worked)
{
    struct census census;
    pp_pool *pool = told_pool(3);

    CHECK_SOON(take_census(&census, 3));
    CHECK_EQ(kill(census.workers[1], SIGKILL), 0);
    CHECK_SOON(deaths() == 1);
    CHECK_EQ(told.last.pid, census.workers[1]);
    CHECK_EQ(told.last.cause, PP_DIED_IDLE);
    finish(pool);
}

TEST(a_time_limit)
{
    struct gate *gate = gate_new();
    pp_pool *pool = told_pool(1);

    CHECK_EQ(pp_apply(pool, PP_CALL(stay, gate), NULL, .time_limit = 0.02), PP_ETIMELIMIT);
    CHECK_SOON(deaths() == 1);
    CHECK_EQ(told.last.cause, PP_DIED_AT_LIMIT);
    CHECK_EQ(told.last.signal, SIGKILL);
    CHECK_STR(told.message, "stay(...) ran longer than its time limit of 0.02 s");
    finish(pool);
    gate_free(gate);
}

TEST(a_cancel)
{
    struct gate *gate = gate_new();
    pp_pool *pool = told_pool(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(stay, gate));

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_cancel(result), 0);
    CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    CHECK_SOON(deaths() == 1);
    CHECK_EQ(told.last.cause, PP_DIED_CANCELLED);
    CHECK_STR(told.function, "stay");
    CHECK_STR(told.message, "stay(...) was cancelled");
    finish(pool);
    gate_free(gate);
}

/* Each attempt of an item is a death of its own, and is told of as such. */
TEST(an_item_that_is_tried_again)
{
    long items[10] = { 0 };
    pp_pool *pool = told_pool(1);

    items[4] = -SIGSEGV;
    CHECK_EQ(pp_map(pool, crash_at, items, 10, NULL, .chunksize = 10, .retries = 5),
             PP_ECRASHED);
    CHECK_SOON(deaths() == 6);
    CHECK_EQ(told.named, 6);
    CHECK_EQ(told.last.incarnation, 6);
    CHECK_EQ(told.last.cause, PP_DIED_IN_TASK);
    CHECK_EQ(told.last.index, 4);
    CHECK_HAS(told.message, "crash_at(...) with item 4 was killed by SIGSEGV");
    finish(pool);
}

static atomic_int *fails;

enum { EXITS = 1001, RAISES };

static int start(void *arg)
{
    int how = atomic_load((atomic_int *)arg);

    if (how == EXITS)
        _exit(5);
    if (how == RAISES)
        pp_raise(EIO, "no luck");
    return how;
}

/* Those are the deaths of which a pool breaks. */
static void check_broken(int how, int status, int code, const char *message)
{
    pp_pool *pool;

    fails = shared_new(sizeof *fails);
    pool = pp_pool_new(.processes = 1, .initializer = start, .initarg = fails,
                       .on_death = tell, .user = &told);
    CHECK(pool != NULL);
    atomic_store(fails, how);
    CHECK_EQ(pp_apply(pool, PP_CALL(leave, 1), NULL), PP_ECRASHED);
    CHECK_SOON(deaths() == 4);
    CHECK_EQ(told.last.cause, PP_DIED_IN_INITIALIZER);
    CHECK_EQ(told.last.incarnation, 4);
    CHECK_EQ(told.last.status, status);
    CHECK_EQ(told.last.code, code);
    CHECK_STR(told.message, message);
    CHECK(pp_apply(pool, PP_CALL(own_pid), NULL) != 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    shared_free(fails, sizeof *fails);
}

TEST(an_initializer_that_exits)
{
    check_broken(EXITS, 5, 0, "a worker's initializer exited with status 5");
}

TEST(an_initializer_that_raises)
{
    check_broken(RAISES, 1, EIO, "no luck");
}

TEST(an_initializer_that_returns_a_code)
{
    check_broken(ENOENT, 1, ENOENT, "the initializer returned 2");
}

/* ---- When, and how often ---------------------------------------------------------- */

TEST(the_outcome_is_known_before)
{
    for (size_t i = 1; i <= 50; i++) {
        PP_SCOPED pp_pool *pool = NULL;
        struct gate *gate = gate_new();

        told.count = told.ready = 0;
        told.result = NULL;
        told.waits = true;
        pool = told_pool(2);
        __atomic_store_n(&told.result,
                         pp_apply_async(pool, PP_CALL(stay, gate), .time_limit = 0.001),
                         __ATOMIC_RELEASE);
        CHECK_SOON(deaths() == 1);
        CHECK_EQ(told.ready, 1);
        gate_free(gate);
    }
}

static size_t callbacks_before;

static void call_back(pp_result *result, void *user)
{
    (void)result;
    (void)user;
    callbacks_before = deaths() == 0;
}

/* And the callback that was due before is called before. */
TEST(so_is_the_callback_called)
{
    pp_pool *pool = pp_pool_new(.processes = 1, .callbacks = PP_CALLBACKS_POLL,
                                .on_death = tell, .user = &told);
    pp_result *result =
        pp_apply_async(pool, PP_CALL(leave, 1), .error_callback = call_back);

    told.result = result;
    CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
    while (deaths() == 0)
        CHECK(pp_poll(pool) >= 0);
    CHECK_EQ(callbacks_before, 1);
    CHECK_EQ(told.ready, 1);
    finish(pool);
}

TEST(none_is_missed_and_none_is_doubled, .timeout = 60)
{
    enum { ITEMS = 2000 };
    static long items[ITEMS];
    size_t crashes = 0;
    unsigned long seed = choose_seed();
    pp_pool *pool = told_pool(4);
    pp_result *result;

    for (int i = 0; i < ITEMS; i++)
        if (next_random(&seed) % 10 == 0) {
            items[i] = -SIGKILL;
            crashes++;
        }
    result = pp_map_async(pool, crash_at, items, ITEMS, .chunksize = 5);
    pp_wait(result);
    CHECK_EQ(pp_failures(result), crashes);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(deaths(), crashes);
    CHECK_EQ(pp_stats_of(pool).deaths, crashes);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(not_of_those_that_retire)
{
    long items[100] = { 0 };
    pp_pool *pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 3, .on_death = tell,
                                .user = &told);

    CHECK_EQ(pp_map(pool, crash_at, items, 100, NULL), 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(deaths(), 0);
    CHECK(pp_stats_of(pool).retired >= 34);
    CHECK_EQ(pp_stats_of(pool).deaths, 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(not_of_the_end_of_the_pool)
{
    struct gate *gate = gate_new();
    pp_pool *pool = told_pool(3);

    CHECK(pp_apply_async(pool, PP_CALL(stay, gate)) != NULL);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_stats_of(pool).deaths, 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(deaths(), 0);
    gate_free(gate);
}

/* ---- Where ------------------------------------------------------------------------ */

TEST(on_a_thread_of_its_own)
{
    size_t before = threads();
    pp_pool *pool = told_pool(1);

    CHECK_EQ(threads(), before + 1);
    CHECK_EQ(kill(some_worker(pool), SIGKILL), 0);
    CHECK_SOON(deaths() == 1);
    CHECK(!pthread_equal(told.thread, pthread_self()));
    finish(pool);
    CHECK_EQ(threads(), before);
}

/* In a pool that is polled: by the descriptor, and without any thread. */
TEST(in_an_event_loop)
{
    size_t before = threads();
    pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL,
                                .on_death = tell, .user = &told);
    struct pollfd poller = { .events = POLLIN };

    CHECK(pool != NULL);
    CHECK_EQ(threads(), before);
    poller.fd = pp_pool_fd(pool);
    for (size_t i = 1; i <= 5; i++) {
        CHECK_EQ(kill(some_worker(pool), SIGKILL), 0);
        while (deaths() < i) {
            CHECK_EQ(poll(&poller, 1, (int)(10000 * harness_time_factor())), 1);
            CHECK(pp_poll(pool) >= 0);
        }
        CHECK(pthread_equal(told.thread, pthread_self()));
    }
    CHECK_EQ(threads(), before);
    finish(pool);
    CHECK_EQ(deaths(), 5);
}

/* What other calls have taken in makes the descriptor readable, too. */
TEST(in_an_event_loop_when_others_have_looked)
{
    pp_pool *pool = pp_pool_new(.processes = 1, .callbacks = PP_CALLBACKS_POLL,
                                .on_death = tell, .user = &told);
    struct pollfd poller = { .events = POLLIN };

    poller.fd = pp_pool_fd(pool);
    CHECK_EQ(kill(some_worker(pool), SIGKILL), 0);
    CHECK_SOON(pp_stats_of(pool).deaths == 1);
    CHECK_EQ(deaths(), 0);
    CHECK_EQ(poll(&poller, 1, (int)(10000 * harness_time_factor())), 1);
    while (deaths() == 0)
        CHECK(pp_poll(pool) >= 0);
    finish(pool);
}

/* Dies, and has it taken in, while the pool runs callbacks. */
static void lose_worker(pp_result *result, void *user)
{
    pid_t pid;

    (void)user;
    CHECK_EQ(pp_get(result, &pid), 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_SOON(pp_stats_of(told.pool).deaths == 1);
    CHECK_EQ(deaths(), 0);
}

TEST(in_the_next_turn_of_an_event_loop)
{
    struct pollfd poller = { .events = POLLIN };

    told.pool = pp_pool_new(.processes = 1, .callbacks = PP_CALLBACKS_POLL, .on_death = tell,
                            .user = &told);
    poller.fd = pp_pool_fd(told.pool);
    CHECK(pp_apply_async(told.pool, PP_CALL(own_pid), .callback = lose_worker) != NULL);
    while (deaths() == 0) {
        CHECK_EQ(poll(&poller, 1, (int)(10000 * harness_time_factor())), 1);
        CHECK(pp_poll(told.pool) >= 0);
    }
    finish(told.pool);
}

TEST(in_a_wait)
{
    pp_pool *pool = pp_pool_new(.processes = 1, .callbacks = PP_CALLBACKS_POLL,
                                .on_death = tell, .user = &told);

    CHECK_EQ(kill(some_worker(pool), SIGKILL), 0);
    CHECK_SOON((some_worker(pool), deaths() == 1));
    finish(pool);
}

static void crash_at_end(void *local)
{
    (void)local;
    raise(SIGSEGV);
}

/* A worker that dies when the pool is about to be gone. */
TEST(before_join_returns)
{
    for (int polls = 0; polls < 2; polls++)
        for (int i = 0; i < 20; i++) {
            pp_pool *pool =
                pp_pool_new(.processes = 4, .finalizer = crash_at_end, .on_death = tell,
                            .user = &told, .callbacks = (pp_callbacks)polls);

            told.count = 0;
            CHECK_EQ(pp_close(pool), 0);
            CHECK_EQ(pp_join(pool), 0);
            CHECK_EQ(deaths(), 4);
            CHECK_EQ(pp_pool_free(pool), 0);
        }
}

static void tell_slowly(const pp_death *death, void *gate)
{
    gate_wait(gate);
    tell(death, &told);
}

/* Join waits for the last of them, too, and can be called again when its time is over. */
TEST(join_waits_for_the_last)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pp_pool_new(.processes = 2, .finalizer = crash_at_end,
                                .on_death = tell_slowly, .user = gate);

    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool, .timeout = 0), -ETIMEDOUT);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_join(pool, .timeout = 0.05), -ETIMEDOUT);
    CHECK_SOON(pp_stats_of(pool).workers == 0);
    gate_open(gate);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(deaths(), 2);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

/* Those that are known and have not been told are not told any more. */
TEST(none_in_free)
{
    pp_pool *pool = pp_pool_new(.processes = 1, .callbacks = PP_CALLBACKS_POLL,
                                .on_death = tell, .user = &told);

    CHECK_EQ(kill(some_worker(pool), SIGKILL), 0);
    CHECK_SOON(pp_stats_of(pool).deaths == 1);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(deaths(), 0);
}

TEST(none_after_free)
{
    for (int i = 0; i < 50; i++) {
        pp_pool *pool = told_pool(2);
        size_t before;

        CHECK_EQ(kill(some_worker(pool), SIGKILL), 0);
        CHECK_EQ(pp_pool_free(pool), 0);
        before = deaths();
        CHECK(before <= (size_t)i + 1);
        harness_nap();
        CHECK_EQ(deaths(), before);
    }
}

/* ---- What it may do ---------------------------------------------------------------- */

static void use_pool(const pp_death *death, void *user)
{
    long value = 0;

    (void)death;
    (void)user;
    while (!__atomic_load_n(&told.pool, __ATOMIC_ACQUIRE))
        ;
    CHECK_EQ(pp_apply(told.pool, PP_CALL(crash_at, 42), &value), 0);
    CHECK_EQ(value, 42);
    CHECK_EQ(pp_join(told.pool), -EDEADLK);
    CHECK_EQ(pp_pool_free(told.pool), -EDEADLK);
    CHECK_EQ(pp_stats_of(told.pool).deaths, 1);
    __atomic_store_n(&told.done, 1, __ATOMIC_SEQ_CST);
}

TEST(uses_the_pool)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .on_death = use_pool);

    __atomic_store_n(&told.pool, pool, __ATOMIC_RELEASE);
    CHECK_EQ(kill(some_worker(pool), SIGKILL), 0);
    CHECK_SOON(__atomic_load_n(&told.done, __ATOMIC_SEQ_CST));
    finish(pool);
}

static void terminate(const pp_death *death, void *user)
{
    (void)death;
    (void)user;
    while (!__atomic_load_n(&told.pool, __ATOMIC_ACQUIRE))
        ;
    CHECK_EQ(pp_terminate(told.pool), 0);
    __atomic_store_n(&told.done, 1, __ATOMIC_SEQ_CST);
}

TEST(terminates_the_pool)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pp_pool_new(.processes = 2, .on_death = terminate);
    pp_result *result = pp_apply_async(pool, PP_CALL(stay, gate));

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    __atomic_store_n(&told.pool, pool, __ATOMIC_RELEASE);
    CHECK_EQ(pp_apply(pool, PP_CALL(leave, 0), NULL), PP_ECRASHED);
    CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(told.done, 1);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

/* An event loop's callback terminates the pool out of pp_poll(). */
TEST(terminates_the_pool_that_is_polled)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .on_death = terminate,
                                .callbacks = PP_CALLBACKS_POLL);

    told.pool = pool;
    CHECK_EQ(kill(some_worker(pool), SIGKILL), 0);
    while (!told.done)
        CHECK(pp_poll(pool) >= 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}
