/* SPDX-License-Identifier: MIT */
/* Much at a time: queued calls, large values, threads of the client. */
#include "battery.h"

/* More calls wait than the pool's window holds. */
CASE(many_queued_calls, .timeout = 120)
{
    enum { CALLS = 100000 };
    pp_pool *pool = new_pool(.processes = 2);
    struct gate *gate = gate_in(pool);
    pp_result **results = calloc(CALLS, sizeof *results);

    for (int i = 0; i < 2; i++)
        CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, i)));
    for (long i = 0; i < CALLS; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(square, i))) != NULL);
    CHECK_EQ(pp_ready(results[CALLS - 1]), !runs_later());
    gate_open(gate);
    for (long i = 0; i < CALLS; i++) {
        long value = -1;

        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, i * i);
    }
    free(results);
    finish(pool);
}

static unsigned long checksum(pp_bytes bytes)
{
    const unsigned char *data = bytes.data;
    unsigned long sum = 5381;

    for (size_t i = 0; i < bytes.size; i += 97)
        sum = sum * 33 + data[i];
    return sum;
}
PP_TASK(unsigned long, checksum, pp_bytes, bytes);

static pp_bytes invert(pp_bytes bytes)
{
    const unsigned char *data = bytes.data;
    unsigned char *inverted = pp_reserve(bytes.size);

    if (!inverted)
        pp_raise(errno, "no memory");
    for (size_t i = 0; i < bytes.size; i++)
        inverted[i] = (unsigned char)~data[i];
    return (pp_bytes){ inverted, bytes.size };
}
PP_TASK(pp_bytes, invert, pp_bytes, bytes);

CASE(large_values, .timeout = 120)
{
    enum { SIZE = 64 << 20 };
    pp_pool *pool = new_pool(.processes = 2);
    unsigned char *data = malloc(SIZE);
    pp_bytes bytes = { data, SIZE }, inverted = { 0 }, back = { 0 };
    unsigned long sum = 0;

    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char)(i >> 12 ^ i);
    CHECK_EQ(pp_apply(pool, PP_CALL(checksum, bytes), &sum), 0);
    CHECK_EQ(sum, checksum(bytes));
    CHECK_EQ(pp_apply(pool, PP_CALL(invert, bytes), &inverted), 0);
    CHECK_EQ(inverted.size, SIZE);
    CHECK(checksum(inverted) != sum);
    CHECK_EQ(pp_apply(pool, PP_CALL(invert, inverted), &back), 0);
    CHECK_EQ(back.size, SIZE);
    CHECK(memcmp(back.data, data, SIZE) == 0);
    free((void *)inverted.data);
    free((void *)back.data);
    free(data);
    finish(pool);
}

CASE(several_large_values, .timeout = 120)
{
    enum { SIZE = 8 << 20, COUNT = 12 };
    pp_pool *pool = new_pool(.processes = 2);
    unsigned char *data = calloc(1, SIZE);
    pp_bytes items[COUNT], out[COUNT];

    memset(data, 'i', SIZE);
    for (size_t i = 0; i < COUNT; i++)
        items[i] = (pp_bytes){ data, SIZE - i };
    CHECK_EQ(pp_map(pool, invert, items, COUNT, out), 0);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQ(out[i].size, SIZE - i);
        CHECK_EQ(((const unsigned char *)out[i].data)[SIZE - i - 1], (unsigned char)~'i');
        free((void *)out[i].data);
    }
    free(data);
    finish(pool);
}

/* ---- Threads of the client ---- */

enum { THREADS_OF_CLIENT = 4 };

struct work {
    pp_pool *pool; /* or NULL: each makes one */
    atomic_int number, right;
};

static int apply_some(pp_pool *pool, long base)
{
    int right = 0;

    for (long i = 0; i < 200; i++) {
        long value = -1;

        right += pp_apply(pool, PP_CALL(square, base + i), &value) == 0 &&
                 value == (base + i) * (base + i);
    }
    return right;
}

static int submit_some(pp_pool *pool, long base)
{
    pp_result *results[200];
    int right = 0;

    for (long i = 0; i < 200; i++)
        results[i] = pp_apply_async(pool, PP_CALL(square, base + i));
    for (long i = 0; i < 200; i++) {
        long value = -1;

        right += pp_get(results[i], &value) == 0 && value == (base + i) * (base + i);
        pp_result_free(results[i]);
    }
    return right;
}

static int map_some(pp_pool *pool, long base)
{
    long items[200], out[200];
    int right = 0;

    for (long i = 0; i < 200; i++)
        items[i] = base + i;
    if (pp_map(pool, square, items, 200, out) == 0)
        for (long i = 0; i < 200; i++)
            right += out[i] == items[i] * items[i];
    return right;
}

static int imap_some(pp_pool *pool, long base)
{
    long items[200], value;
    int right = 0;
    pp_iter *iter;

    for (long i = 0; i < 200; i++)
        items[i] = base + i;
    iter = pp_imap(pool, square, .items = items, .count = 200, .window = 7);
    for (long i = 0; pp_next(iter, &value) == 0; i++)
        right += value == items[i] * items[i];
    pp_iter_free(iter);
    return right;
}

static void *work_in_thread(void *arg)
{
    static int (*const kinds[])(pp_pool *, long) = { apply_some, submit_some, map_some,
                                                     imap_some };
    struct work *work = arg;
    int number = atomic_fetch_add(&work->number, 1);
    pp_pool *pool = work->pool ? work->pool : new_pool(.processes = 1);

    for (int i = 0; i < 4; i++)
        atomic_fetch_add(&work->right, kinds[(number + i) % 4](pool, 1000L * number));
    if (!work->pool)
        finish(pool);
    return NULL;
}

static void work_in_threads(struct work *work)
{
    pthread_t threads[THREADS_OF_CLIENT];

    for (int i = 0; i < THREADS_OF_CLIENT; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, work_in_thread, work), 0);
    for (int i = 0; i < THREADS_OF_CLIENT; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(atomic_load(&work->right), THREADS_OF_CLIENT * 4 * 200);
}

CASE(several_threads_use_one_pool, .timeout = 60)
{
    struct work work = { .pool = new_pool(.processes = 2) };

    work_in_threads(&work);
    finish(work.pool);
}

CASE(each_thread_has_a_pool, .timeout = 60)
{
    struct work work = { .pool = NULL };

    work_in_threads(&work);
}

static void *wait_then_apply(void *arg)
{
    struct work *work = arg;

    atomic_fetch_add(&work->number, 1);
    while (pp_apply(work->pool, PP_CALL(square, 3), NULL) == 0)
        atomic_fetch_add(&work->right, 1);
    return NULL;
}

/* A pool that ends under threads that use it: each gets an error, none hangs. */
CASE(terminated_under_threads)
{
    struct work work = { .pool = new_pool(.processes = 2) };
    pthread_t threads[THREADS_OF_CLIENT];

    for (int i = 0; i < THREADS_OF_CLIENT; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_then_apply, &work), 0);
    CHECK_SOON(atomic_load(&work.number) == THREADS_OF_CLIENT);
    CHECK_SOON(atomic_load(&work.right) > 50);
    CHECK_EQ(pp_terminate(work.pool), 0);
    for (int i = 0; i < THREADS_OF_CLIENT; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(pp_join(work.pool), 0);
    CHECK_EQ(pp_pool_free(work.pool), 0);
}
