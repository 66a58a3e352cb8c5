/* SPDX-License-Identifier: MIT */
/* Iterators and the end: of themselves half-way, of their pool, of workers and supervisor. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static const char *echo(const char *text)
{
    return text;
}
PP_TASK(const char *, echo, const char *, text);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

static long count_call(atomic_int *calls, long x)
{
    atomic_fetch_add(calls, 1);
    return x;
}
PP_TASK(long, count_call, atomic_int *, calls, long, x);

static long die(long x)
{
    if (x % 7 == 5)
        raise(x % 2 ? SIGKILL : SIGSEGV);
    if (x % 11 == 8)
        _exit(3);
    return x;
}
PP_TASK(long, die, long, x);

static bool naturals(void *item, void *user)
{
    *(long *)item = (*(long *)user)++;
    return true;
}

static const long chunks[] = { 1, 3, 10 };

#define EACH(i, array)                                                                        \
    size_t i = 0;                                                                             \
    i < sizeof array / sizeof array[0];                                                       \
    i++

static long numbers[1000];

static void number(void)
{
    for (long i = 0; i < 1000; i++)
        numbers[i] = i;
}

static void finish_but_free(pp_pool *pool)
{
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_SOON(living() == 0);
}

static void check_squares(pp_iter *iter, long from, long to)
{
    for (long i = from; i < to; i++) {
        long value = -1;

        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, i * i);
    }
}

/* ---- Freed half-way ---- */

TEST(free_unread)
{
    pp_pool *pool = pool_of(2);
    long next = 0;

    number();
    for (EACH(c, chunks)) {
        pp_iter_free(
            pp_imap(pool, square, .items = numbers, .count = 1000, .chunksize = chunks[c]));
        pp_iter_free(pp_imap_unordered(pool, square, .items = numbers, .count = 1000,
                                       .chunksize = chunks[c], .window = 1000));
        pp_iter_free(pp_imap(pool, square, .input = naturals, .user = &next));
    }
    CHECK_EQ(next, 0);
    finish(pool);
}

TEST(free_half_read)
{
    pp_pool *pool = pool_of(2);

    number();
    for (EACH(c, chunks))
        for (int ordered = 0; ordered < 2; ordered++)
            for (int read = 0; read < 25; read += 8) {
                pp_iter *iter = ordered
                                    ? pp_imap(pool, square, .items = numbers, .count = 1000,
                                              .chunksize = chunks[c])
                                    : pp_imap_unordered(pool, square, .items = numbers,
                                                        .count = 1000, .chunksize = chunks[c]);

                for (int i = 0; i < read; i++)
                    CHECK_EQ(pp_next(iter, NULL), 0);
                pp_iter_free(iter);
            }
    finish(pool);
}

/* What runs runs on; the pool is of use at once. */
TEST(free_while_they_run)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    PP_ARGS(wait_and_square) items[100];
    pp_iter *iter;
    long value;

    for (long i = 0; i < 100; i++)
        items[i] = (PP_ARGS(wait_and_square)){ gate, i };
    iter = pp_istarmap(pool, wait_and_square, .items = items, .count = 100);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    pp_iter_free(iter);
    memset(items, 0, sizeof items);
    gate_open(gate);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 4), &value), 0);
    CHECK_EQ(value, 16);
    finish(pool);
    gate_free(gate);
}

struct waiting {
    pp_iter *iter;
    atomic_int code;
};

static void *wait_for_next(void *user)
{
    struct waiting *waiting = user;

    atomic_store(&waiting->code, pp_next(waiting->iter, NULL));
    return NULL;
}

/* ---- Never read ---- */

TEST(left_to_the_pool)
{
    number();
    for (int terminate = 0; terminate < 2; terminate++) {
        pp_pool *pool = pool_of(2);
        long next = 0;
        const char *texts[] = { "some text that does not fit into a record", "b", NULL };
        pp_iter *iter;

        CHECK(pp_imap(pool, square, .items = numbers, .count = 1000, .chunksize = 3) != NULL);
        CHECK(pp_imap_unordered(pool, square, .items = numbers, .count = 1000) != NULL);
        CHECK(pp_imap(pool, echo, .items = texts, .count = 3) != NULL);
        CHECK(pp_imap(pool, echo, .items = texts, .count = 3, .chunksize = 3) != NULL);
        CHECK((iter = pp_imap(pool, square, .input = naturals, .user = &next)) != NULL);
        check_squares(iter, 0, 10);
        if (terminate)
            CHECK_EQ(pp_terminate(pool), 0);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}

/* ---- Closed and joined ---- */

TEST(goes_on_after_close)
{
    pp_pool *pool = pool_of(2);
    pp_iter *array, *input;
    long next = 0;

    number();
    array = pp_imap(pool, square, .items = numbers, .count = 1000, .window = 3);
    input = pp_imap(pool, square, .input = naturals, .user = &next, .window = 3);
    check_squares(array, 0, 2);
    CHECK_EQ(pp_close(pool), 0);
    check_squares(array, 2, 1000);
    check_squares(input, 0, 1000);
    CHECK_EQ(pp_next(array, NULL), PP_STOP_ITERATION);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* An array is drawn to its end, whatever the window. */
TEST(join_runs_arrays)
{
    number();
    for (EACH(c, chunks))
        for (long window = 0; window < 12; window += 5) {
            atomic_int *calls = shared_new(sizeof *calls);
            pp_pool *pool = pool_of(2);
            PP_ARGS(count_call) items[1000];
            pp_iter *half, *unread;
            long value;

            for (long i = 0; i < 1000; i++)
                items[i] = (PP_ARGS(count_call)){ calls, i };
            half = pp_imap(pool, square, .items = numbers, .count = 1000, .window = window,
                           .chunksize = chunks[c]);
            unread = pp_istarmap_unordered(pool, count_call, .items = items, .count = 1000,
                                           .window = window, .chunksize = chunks[c]);
            check_squares(half, 0, 17);
            finish_but_free(pool);
            CHECK_EQ(atomic_load(calls), 1000);
            memset(items, 0, sizeof items);
            check_squares(half, 17, 1000);
            for (long i = 0, sum = 0; i < 1000; i++) {
                CHECK_EQ(pp_next(unread, &value), 0);
                sum += value;
                CHECK(i < 999 || sum == 499500);
            }
            CHECK_EQ(pp_next(half, &value), PP_STOP_ITERATION);
            CHECK_EQ(pp_next(unread, &value, .timeout = 1), PP_STOP_ITERATION);
            CHECK_EQ(pp_pool_free(pool), 0);
            shared_free(calls, sizeof *calls);
        }
}

/* Functions are not drawn from any more; what was drawn can be read. */
TEST(join_ends_functions)
{
    for (EACH(c, chunks)) {
        pp_pool *pool = pool_of(2);
        long next = 0;
        pp_iter *iter = pp_imap(pool, square, .input = naturals, .user = &next, .window = 30,
                                .chunksize = chunks[c]);
        long drawn;

        check_squares(iter, 0, 5);
        CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL), 0);
        drawn = next;
        CHECK(drawn >= 5);
        finish_but_free(pool);
        CHECK_EQ(next, drawn);
        check_squares(iter, 5, drawn);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(pp_next(iter, NULL), -ESHUTDOWN);
        CHECK_EQ(next, drawn);
        CHECK(!pp_iter_error(iter));
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}

static bool three(void *item, void *user)
{
    return *(long *)user < 3 && naturals(item, user);
}

TEST(join_after_the_end_of_input)
{
    pp_pool *pool = pool_of(2);
    long next = 0;
    pp_iter *iter = pp_imap(pool, square, .input = three, .user = &next);

    check_squares(iter, 0, 3);
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    finish_but_free(pool);
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* A join that gives up in between and comes again gets there, too. */
TEST(join_again_and_again, .timeout = 60)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    PP_ARGS(wait_and_square) items[200];
    pp_iter *iter;

    for (long i = 0; i < 200; i++)
        items[i] = (PP_ARGS(wait_and_square)){ gate, i };
    iter = pp_istarmap(pool, wait_and_square, .items = items, .count = 200, .window = 2);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool, .timeout = 0), -ETIMEDOUT);
    CHECK_EQ(pp_join(pool, .timeout = 0.01), -ETIMEDOUT);
    gate_open(gate);
    CHECK_SOON(pp_join(pool, .timeout = 0) == 0);
    check_squares(iter, 0, 200);
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

static void *join(void *pool)
{
    CHECK_EQ(pp_join(pool), 0);
    return NULL;
}

/* Another thread joins while this one reads. */
TEST(join_while_it_is_read, .timeout = 60)
{
    number();
    for (int i = 0; i < 20; i++) {
        pp_pool *pool = pool_of(2);
        pp_iter *iter = pp_imap(pool, square, .items = numbers, .count = 1000, .window = 1 + i,
                                .chunksize = 1 + i % 3);
        pthread_t thread;

        check_squares(iter, 0, 10);
        CHECK_EQ(pp_close(pool), 0);
        CHECK_EQ(pthread_create(&thread, NULL, join, pool), 0);
        check_squares(iter, 10, 1000);
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}

/* ---- Terminated, broken, bereft ---- */

/* What was drawn has its outcome, then there is no more. */
static void check_rest(pp_iter *iter, int expected, long drawn, int last)
{
    long items = 0, value = 77;
    size_t index;
    int code;

    while ((code = pp_next(iter, &value, .index = &index)) == expected) {
        CHECK_EQ(pp_iter_error(iter)->index, index);
        CHECK(*pp_iter_error(iter)->message);
        CHECK(index < (size_t)drawn);
        items++;
    }
    CHECK_EQ(code, last);
    CHECK_EQ(items, drawn);
    CHECK_EQ(value, 77);
    CHECK_EQ(pp_next(iter, &value), last);
    CHECK(!pp_iter_error(iter));
}

static bool gated(void *item, void *user)
{
    *(PP_ARGS(wait_and_square) *)item = (PP_ARGS(wait_and_square)){ user, 1 };
    return true;
}

static void kill_supervisor(void)
{
    struct census census;

    CHECK_SOON(take_census(&census, 2));
    CHECK_EQ(kill(census.supervisor, SIGKILL), 0);
}

static void check_end(bool terminate, long chunk, bool ordered)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    PP_ARGS(wait_and_square) items[10];
    pp_iter *part, *whole, *input;
    int expected = terminate ? PP_ECANCELLED : PP_ECRASHED;

    for (int i = 0; i < 10; i++)
        items[i] = (PP_ARGS(wait_and_square)){ gate, 1 };
    whole =
        pp_istarmap(pool, wait_and_square, .items = items, .count = 10, .chunksize = chunk);
    part = ordered ? pp_istarmap(pool, wait_and_square, .items = items, .count = 10,
                                 .chunksize = chunk, .window = 4)
                   : pp_istarmap_unordered(pool, wait_and_square, .items = items, .count = 10,
                                           .chunksize = chunk, .window = 4);
    input = pp_istarmap(pool, wait_and_square, .input = gated, .user = gate, .window = 8,
                        .chunksize = chunk);
    CHECK_EQ(pp_next(input, NULL, .timeout = 0), -ETIMEDOUT);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    if (terminate)
        CHECK_EQ(pp_terminate(pool), 0);
    else
        kill_supervisor();
    check_rest(whole, expected, 10, PP_STOP_ITERATION);
    check_rest(part, expected, 4 / (chunk < 4 ? chunk : 4) * (chunk < 4 ? chunk : 4),
               -ESHUTDOWN);
    check_rest(input, expected, 8 / (chunk < 8 ? chunk : 8) * (chunk < 8 ? chunk : 8),
               -ESHUTDOWN);
    CHECK_NULL(pp_istarmap(pool, wait_and_square, .items = items, .count = 10),
               terminate ? ESHUTDOWN : ENOTRECOVERABLE);
    finish_but_free(pool);
    CHECK_EQ(pp_next(part, NULL), -ESHUTDOWN);
    CHECK_EQ(pp_next(whole, NULL), PP_STOP_ITERATION);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(terminated, .timeout = 60)
{
    for (EACH(c, chunks))
        for (int ordered = 0; ordered < 2; ordered++)
            check_end(true, chunks[c], ordered);
}

TEST(supervisor_killed, .timeout = 60)
{
    for (EACH(c, chunks))
        for (int ordered = 0; ordered < 2; ordered++)
            check_end(false, chunks[c], ordered);
}

/* The item that is being drawn when the pool ends has an outcome as the others. */
static bool draw_and_kill(void *item, void *user)
{
    if (*(long *)user == 0) {
        kill_supervisor();
        CHECK_SOON(living() == 0);
    }
    return naturals(item, user);
}

TEST(supervisor_killed_while_drawing)
{
    for (EACH(c, chunks)) {
        pp_pool *pool = pool_of(2);
        long next = 0;
        pp_iter *iter = pp_imap(pool, square, .input = draw_and_kill, .user = &next,
                                .chunksize = chunks[c]);

        CHECK_EQ(pp_next(iter, NULL, .timeout = 0), PP_ECRASHED);
        CHECK_EQ(pp_iter_error(iter)->kind, PP_CRASHED);
        for (long i = 1; i < chunks[c]; i++)
            CHECK_EQ(pp_next(iter, NULL), PP_ECRASHED);
        CHECK_EQ(pp_next(iter, NULL), -ESHUTDOWN);
        CHECK_EQ(next, chunks[c]);
        finish_but_free(pool);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}

/* What was done before stays. */
TEST(done_before_terminate)
{
    pp_pool *pool = pool_of(2);
    pp_iter *iter;

    number();
    iter = pp_imap(pool, square, .items = numbers, .count = 100, .window = 20);
    CHECK_EQ(pp_next(iter, NULL), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL), 0); /* runs after those */
    CHECK_SOON(pp_next(iter, NULL, .timeout = 0) == 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    check_squares(iter, 2, 19);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(thread_that_waits_is_told)
{
    for (int way = 0; way < 3; way++) {
        struct gate *gate = gate_new();
        pp_pool *pool = pool_of(2);
        struct waiting waiting = { .code = 1 };
        pthread_t thread;

        waiting.iter =
            pp_istarmap(pool, wait_and_square, .input = gated, .user = gate, .window = 2);
        CHECK_EQ(pthread_create(&thread, NULL, wait_for_next, &waiting), 0);
        CHECK_SOON(atomic_load(&gate->waiting) == 2);
        if (way == 0)
            CHECK_EQ(pp_terminate(pool), 0);
        else if (way == 1)
            kill_supervisor();
        else
            pp_iter_free(waiting.iter);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(atomic_load(&waiting.code), way == 0   ? PP_ECANCELLED
                                             : way == 1 ? PP_ECRASHED
                                                        : PP_STOP_ITERATION);
        gate_open(gate);
        CHECK_EQ(pp_pool_free(pool), 0);
        gate_free(gate);
    }
}

/* The first worker starts, its replacements do not. */
static int start_once(void *starts)
{
    return atomic_fetch_add((atomic_int *)starts, 1) ? EIO : 0;
}

TEST(broken)
{
    for (EACH(c, chunks)) {
        atomic_int *starts = shared_new(sizeof *starts);
        pp_pool *pool =
            pp_pool_new(.processes = 1, .initializer = start_once, .initarg = starts);
        long next = 5; /* which dies */
        pp_iter *iter, *array;

        CHECK(pool != NULL);
        number();
        array = pp_imap(pool, die, .items = numbers + 5, .count = 30, .window = 10,
                        .chunksize = chunks[c]);
        iter = pp_imap(pool, die, .input = naturals, .user = &next, .chunksize = chunks[c]);
        CHECK_EQ(pp_next(array, NULL), PP_ECRASHED);
        CHECK_EQ(pp_next(array, NULL), PP_EBROKEN);
        CHECK_EQ(pp_iter_error(array)->index, 1);
        CHECK_EQ(pp_iter_error(array)->kind, PP_BROKEN);
        while (pp_next(array, NULL) == PP_EBROKEN)
            CHECK(pp_iter_error(array)->index < 30);
        CHECK_EQ(pp_next(array, NULL), -ESHUTDOWN);
        while (pp_next(iter, NULL) == PP_EBROKEN)
            CHECK_EQ(pp_iter_error(iter)->kind, PP_BROKEN);
        CHECK_EQ(pp_next(iter, NULL), -ESHUTDOWN);
        CHECK_NULL(pp_imap(pool, square, .items = numbers, .count = 1), ENOTRECOVERABLE);
        finish_but_free(pool);
        CHECK_EQ(pp_pool_free(pool), 0);
        shared_free(starts, sizeof *starts);
    }
}

TEST(workers_die, .timeout = 60)
{
    pp_pool *pool = pool_of(3);

    number();
    for (EACH(c, chunks)) {
        pp_iter *iter =
            pp_imap(pool, die, .items = numbers, .count = 300, .chunksize = chunks[c]);
        long value;

        for (long i = 0; i < 300; i++) {
            int code = pp_next(iter, &value);

            CHECK_EQ(code, i % 7 == 5 || i % 11 == 8 ? PP_ECRASHED : 0);
            CHECK(code || value == i);
        }
        CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
    }
    finish(pool);
}

/* The worker that runs an item is killed by somebody else. */
TEST(worker_killed)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    PP_ARGS(wait_and_square) items[] = { { gate, 1 }, { gate, 2 }, { gate, 3 } };
    pp_iter *iter =
        pp_istarmap(pool, wait_and_square, .items = items, .count = 3, .chunksize = 3);
    struct census census;
    long value;

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK(take_census(&census, 1));
    CHECK_EQ(kill(census.workers[0], SIGKILL), 0);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    gate_open(gate);
    CHECK_EQ(pp_next(iter, &value), PP_ECRASHED);
    CHECK_EQ(pp_iter_error(iter)->pid, census.workers[0]);
    check_squares(iter, 2, 4);
    CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
    finish(pool);
    gate_free(gate);
}
