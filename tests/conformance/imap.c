/* SPDX-License-Identifier: MIT */
/* pp_imap() and its kin over arrays: order, values, errors, ends. */
#include <math.h>

#include "battery.h"

enum { MOST = 1000 };

static const long *naturals(void)
{
    static long items[MOST];

    for (long i = 0; i < MOST; i++)
        items[i] = i;
    return items;
}

static void read_all(pp_iter *iter, size_t count, bool ordered)
{
    bool seen[MOST] = { false };

    CHECK(iter != NULL);
    for (size_t i = 0; i < count; i++) {
        size_t index = MOST;
        long value = -1;

        CHECK_EQ(pp_next(iter, &value, .index = &index), 0);
        CHECK(index < count && !seen[index]);
        CHECK(!ordered || index == i);
        CHECK_EQ(value, (long)(index * index));
        CHECK(!pp_iter_error(iter));
        seen[index] = true;
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    pp_iter_free(iter);
}

CASE(imap_of_many_sizes)
{
    static const size_t counts[] = { 0, 1, 2, 99, MOST };
    static const long chunks[] = { 0, 1, 3, 100 }, windows[] = { 0, 1, 10, 5000 };
    pp_pool *pool = new_pool(.processes = 2);

    for (int n = 0; n < 5; n++)
        for (int c = 0; c < 4; c++)
            for (int w = 0; w < 4; w++) {
                read_all(pp_imap(pool, square, .items = naturals(), .count = counts[n],
                                 .chunksize = chunks[c], .window = windows[w]),
                         counts[n], true);
                read_all(pp_imap_unordered(pool, square, .items = naturals(),
                                           .count = counts[n], .chunksize = chunks[c],
                                           .window = windows[w]),
                         counts[n], false);
            }
    finish(pool);
}

static long multiply(long x, long y)
{
    return x * y;
}
PP_TASK(long, multiply, long, x, long, y);

CASE(istarmap)
{
    pp_pool *pool = new_pool(.processes = 2);
    PP_ARGS(multiply) items[100];

    for (long i = 0; i < 100; i++)
        items[i] = (PP_ARGS(multiply)){ i, i };
    read_all(pp_istarmap(pool, multiply, .items = items, .count = 100), 100, true);
    read_all(pp_istarmap_unordered(pool, multiply, .items = items, .count = 100), 100, false);
    finish(pool);
}

/* Lives until the next call. */
CASE(imap_of_strings)
{
    pp_pool *pool = new_pool(.processes = 2);
    static char texts[200][100];
    const char *items[200];
    pp_iter *iter;

    for (int i = 0; i < 200; i++) {
        snprintf(texts[i], sizeof texts[i], "%*d", 1 + i % 90, i);
        items[i] = i % 9 == 8 ? NULL : texts[i];
    }
    iter = pp_imap(pool, echo, .items = items, .count = 200);
    for (int i = 0; i < 200; i++) {
        const char *text = "not stored";

        CHECK_EQ(pp_next(iter, &text), 0);
        CHECK_STR(text, items[i]);
    }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    finish(pool);
}

CASE(imap_of_bytes)
{
    pp_pool *pool = new_pool(.processes = 2);
    static char data[100000];
    pp_bytes items[20];
    pp_iter *iter;

    memset(data, 'd', sizeof data);
    for (size_t i = 0; i < 20; i++)
        items[i] = (pp_bytes){ data, i * 5000 };
    iter = pp_imap(pool, echo_bytes, .items = items, .count = 20, .chunksize = 3);
    for (size_t i = 0; i < 20; i++) {
        pp_bytes bytes = { NULL, 1 };

        CHECK_EQ(pp_next(iter, &bytes), 0);
        CHECK_EQ(bytes.size, i * 5000);
        CHECK(i == 0 || memcmp(bytes.data, data, bytes.size) == 0);
    }
    finish(pool);
}

/* ---- Errors ---- */

CASE(imap_goes_on_after_errors)
{
    pp_pool *pool = new_pool(.processes = 2);
    int codes[60];

    for (int i = 0; i < 60; i++)
        codes[i] = i % 3 == 0 ? i + 1 : 0;
    for (long chunksize = 0; chunksize < 20; chunksize += 4) {
        pp_iter *iter =
            pp_imap(pool, raise_code, .items = codes, .count = 60, .chunksize = chunksize);

        CHECK(!pp_iter_error(iter));
        for (size_t i = 0; i < 60; i++) {
            size_t index = 1000;
            int value = 42;

            CHECK_EQ(pp_next(iter, &value, .index = &index), i % 3 ? 0 : PP_ERAISED);
            CHECK_EQ(index, i);
            CHECK_EQ(value, i % 3 ? 0 : 42);
            CHECK_EQ(pp_iter_error(iter) != NULL, i % 3 == 0);
            if (i % 3 == 0) {
                CHECK_EQ(pp_iter_error(iter)->index, i);
                CHECK_EQ(pp_iter_error(iter)->code, (int)i + 1);
                CHECK_STR(pp_iter_error(iter)->function, "raise_code");
            }
        }
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
        pp_iter_free(iter);
    }
    finish(pool);
}

/* It is that of the last call of pp_next(), also if that found nothing. */
CASE(error_of_the_last_item)
{
    pp_pool *pool = new_pool(.processes = 1);
    int codes[] = { 0, 7 };
    pp_iter *iter = pp_imap(pool, raise_code, .items = codes, .count = 2);

    CHECK_EQ(pp_next(iter, NULL), 0);
    CHECK_EQ(pp_next(iter, NULL), PP_ERAISED);
    CHECK_EQ(pp_iter_error(iter)->code, 7);
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK(!pp_iter_error(iter));
    finish(pool);
}

CASE(imap_unordered_with_errors)
{
    pp_pool *pool = new_pool(.processes = 3);
    int codes[100], failed = 0, codes_sum = 0;
    pp_iter *iter;

    for (int i = 0; i < 100; i++)
        codes[i] = i % 10 == 1 ? i : 0;
    iter = pp_imap_unordered(pool, raise_code, .items = codes, .count = 100);
    for (int i = 0; i < 100; i++)
        if (pp_next(iter, NULL) == PP_ERAISED) {
            CHECK_EQ(pp_iter_error(iter)->code, (int)pp_iter_error(iter)->index);
            codes_sum += pp_iter_error(iter)->code;
            failed++;
        }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK_EQ(failed, 10);
    CHECK_EQ(codes_sum, 460);
    finish(pool);
}

/* Such an item cannot be sent; the others are. */
CASE(imap_of_an_item_that_makes_no_sense)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_bytes items[] = { { "a", 1 }, { NULL, 5 }, { "c", 1 } }, bytes;
    pp_iter *iter = pp_imap(pool, echo_bytes, .items = items, .count = 3);

    CHECK_EQ(pp_next(iter, &bytes), 0);
    CHECK_EQ(pp_next(iter, &bytes), PP_ERAISED);
    CHECK_EQ(pp_iter_error(iter)->code, EINVAL);
    CHECK_EQ(pp_iter_error(iter)->index, 1);
    CHECK_EQ(pp_next(iter, &bytes), 0);
    CHECK_EQ(((const char *)bytes.data)[0], 'c');
    CHECK_EQ(pp_next(iter, &bytes), PP_STOP_ITERATION);
    finish(pool);
}

/* ---- Time ---- */

CASE(next_with_a_timeout)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    PP_ARGS(wait_and_square) items[] = { { gate, 2 }, { gate, 3 } };
    pp_iter *iter = pp_istarmap(pool, wait_and_square, .items = items, .count = 2);
    size_t index = 77;
    long value = 42;

    if (runs_later()) {
        CHECK_EQ(pp_next(iter, &value, .timeout = 0), -ETIMEDOUT);
        CHECK_EQ(pp_next(iter, &value, .timeout = -1), -ETIMEDOUT);
        CHECK_EQ(pp_next(iter, &value, .timeout = 0.02, .index = &index), -ETIMEDOUT);
        CHECK_EQ(value, 42);
        CHECK_EQ(index, 77);
    }
    CHECK_EQ(pp_next(iter, &value, .timeout = NAN), -EINVAL);
    gate_open(gate);
    CHECK_EQ(pp_next(iter, &value, .timeout = 1000), 0);
    CHECK_EQ(value, 4);
    CHECK_EQ(pp_next(iter, &value), 0);
    CHECK_EQ(value, 9);
    CHECK_EQ(pp_next(iter, &value, .timeout = 0), PP_STOP_ITERATION);
    finish(pool);
}

/* Who is held up comes last, and holds up nobody else; in order all wait for it. */
CASE(unordered_comes_as_it_ends)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct gate *gate = gate_in(pool), *open = gate_in(pool);
    PP_ARGS(wait_and_square) items[20];
    pp_iter *unordered, *ordered;
    size_t index;

    gate_open(open);
    for (long i = 0; i < 20; i++)
        items[i] = (PP_ARGS(wait_and_square)){ i == 0 ? gate : open, i };
    unordered = pp_istarmap_unordered(pool, wait_and_square, .items = items, .count = 20);
    for (int i = 0; i < 19; i++) {
        CHECK_EQ(pp_next(unordered, NULL, .index = &index), 0);
        CHECK(index != 0);
    }
    items[0].gate = open;
    items[1].gate = gate;
    CHECK_EQ(pp_next(unordered, NULL, .timeout = 0.01), -ETIMEDOUT);
    ordered = pp_istarmap(pool, wait_and_square, .items = items, .count = 20);
    CHECK_EQ(pp_next(ordered, NULL), 0);
    CHECK_EQ(pp_next(ordered, NULL, .timeout = 0.01), -ETIMEDOUT);
    gate_open(gate);
    CHECK_EQ(pp_next(unordered, NULL, .index = &index), 0);
    CHECK_EQ(index, 0);
    CHECK_EQ(pp_next(ordered, NULL, .index = &index), 0);
    CHECK_EQ(index, 1);
    finish(pool);
}

/* Workers run ahead of who reads, up to the window; inline nobody does. */
CASE(imap_runs_ahead)
{
    pp_pool *pool = new_pool(.processes = 2);
    atomic_int *counter = counter_in(pool);
    atomic_int *items[100];
    pp_iter *iter;

    for (int i = 0; i < 100; i++)
        items[i] = counter;
    iter = pp_imap(pool, touch, .items = items, .count = 100, .window = 30, .chunksize = 1);
    for (int read = 0; read < 10; read++) {
        if (runs_later()) /* what was read last may make room with the next call */
            CHECK_SOON(atomic_load(counter) >= 30 + read - (read > 0));
        CHECK(atomic_load(counter) <= (runs_later() ? 30 + read : read));
        CHECK_EQ(pp_next(iter, NULL), 0);
    }
    pp_iter_free(iter);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK(atomic_load(counter) <= (runs_later() ? 40 : 10));
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* ---- Ends ---- */

CASE(iterators_side_by_side)
{
    pp_pool *pool = new_pool(.processes = 2);
    pp_iter *iters[5];

    for (int i = 0; i < 5; i++)
        iters[i] = pp_imap(pool, square, .items = naturals(), .count = 200, .window = 1 + i);
    for (long n = 0; n < 200; n++)
        for (int i = 0; i < 5; i++) {
            long value = -1;

            CHECK_EQ(pp_next(iters[i], &value), 0);
            CHECK_EQ(value, n * n);
        }
    finish(pool);
}

CASE(iterators_freed_early)
{
    pp_pool *pool = new_pool(.processes = 2);

    pp_iter_free(NULL);
    for (int i = 0; i < 50; i++) {
        pp_iter *iter = pp_imap(pool, square, .items = naturals(), .count = MOST,
                                .chunksize = i % 3, .window = 10 * i);

        for (int n = 0; n < i % 7; n++)
            CHECK_EQ(pp_next(iter, NULL), 0);
        pp_iter_free(iter);
    }
    CHECK(pp_imap(pool, square, .items = naturals(), .count = MOST)); /* or not at all */
    check_works(pool);
    CHECK_EQ(pp_pool_free(pool), 0);
}

CASE(iterator_survives_close)
{
    pp_pool *pool = new_pool(.processes = 2);
    pp_iter *iter = pp_imap(pool, square, .items = naturals(), .count = 100, .window = 5);

    CHECK_EQ(pp_next(iter, NULL), 0);
    CHECK_EQ(pp_close(pool), 0);
    for (long i = 1; i < 100; i++) {
        long value = 0;

        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    finish(pool);
}

/* Joining draws an array to its end, whatever the window. */
CASE(iterator_is_read_after_join)
{
    pp_pool *pool = new_pool(.processes = 2);
    pp_iter *iter = pp_imap(pool, square, .items = naturals(), .count = 500, .window = 3);

    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    read_all(iter, 500, true);
    CHECK_EQ(pp_pool_free(pool), 0);
}

struct readers {
    pp_iter *iter;
    atomic_int read, wrong;
    atomic_bool seen[MOST];
};

static void *read_some(void *arg)
{
    struct readers *readers = arg;
    size_t index;
    long value;

    while (pp_next(readers->iter, &value, .index = &index) == 0) {
        if (value != (long)(index * index) || atomic_exchange(&readers->seen[index], true))
            atomic_fetch_add(&readers->wrong, 1);
        atomic_fetch_add(&readers->read, 1);
    }
    return NULL;
}

CASE(several_threads_read_one_iterator)
{
    pp_pool *pool = new_pool(.processes = 2);
    static struct readers readers;
    pthread_t threads[3];

    readers.iter = pp_imap_unordered(pool, square, .items = naturals(), .count = MOST);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, read_some, &readers), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(atomic_load(&readers.read), MOST);
    CHECK_EQ(atomic_load(&readers.wrong), 0);
    finish(pool);
}

/* What was drawn ends as cancelled; after that there is nothing more to come. */
CASE(iterator_after_terminate)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_iter *iter = pp_imap(pool, square, .items = naturals(), .count = MOST, .window = 10);
    int code, items = 0;

    CHECK_EQ(pp_next(iter, NULL), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    while ((code = pp_next(iter, NULL)) == 0 || code == PP_ECANCELLED)
        items++;
    CHECK_EQ(code, -ESHUTDOWN);
    CHECK(items <= 10);
    CHECK_EQ(pp_pool_free(pool), 0);
}
