/* SPDX-License-Identifier: MIT */
/* Iterators keep little in memory, and cope when there is none. */
#include <malloc.h>
#include <sys/resource.h>

#include "source.h"

static pp_bytes echo_bytes(pp_bytes bytes)
{
    return bytes;
}
PP_TASK(pp_bytes, echo_bytes, pp_bytes, bytes);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

/* What is allocated does not grow with the items that went through. */
TEST(memory_is_bounded, .timeout = 60)
{
    pp_pool *pool = pool_of(2);
    struct source source = source_of(0);
    pp_iter *iter = pp_imap(pool, square, .input = draw, .user = &source, .window = 100);
    size_t before = 0;
    long value;

    for (long i = 0; i < 50000; i++) {
        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK(source.next - i <= 100);
        if (i == 1000)
            before = mallinfo2().uordblks;
    }
    CHECK(mallinfo2().uordblks < before + (100 << 10));
    finish(pool);
}

static bool next_megabyte(void *item, void *user)
{
    static char block[1 << 20];

    ++*(long *)user;
    *(pp_bytes *)item = (pp_bytes){ block, sizeof block };
    return true;
}

/* Fills the window while the only worker waits at the gate; so many are drawn and unread. */
static long fill(pp_pool *pool, struct gate *gate, pp_iter *iter, const long *next, long read)
{
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1));
    long drawn;

    CHECK(iter != NULL);
    do {
        drawn = *next;
        CHECK_EQ(pp_wait(result, .timeout = 0.01), -ETIMEDOUT);
    } while (*next != drawn);
    gate_open(gate);
    CHECK_EQ(pp_wait(result), 0);
    atomic_store(&gate->open, 0);
    return drawn - read;
}

static const char *make_megabyte(long x)
{
    char *text = pp_reserve(1 << 20);

    CHECK(text != NULL);
    memset(text, (int)('a' + x % 26), 1 << 20);
    text[(1 << 20) - 1] = '\0';
    return text;
}
PP_TASK(const char *, make_megabyte, long, x);

/* A window that was not asked for shrinks when the items are large. */
TEST(large_items_are_drawn_later)
{
    enum { READ = 50 };
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    long next = 0;
    struct source source = source_of(0);
    pp_iter *iter = pp_imap(pool, echo_bytes, .input = next_megabyte, .user = &next);

    CHECK(fill(pool, gate, iter, &next, 0) <= 33);
    pp_iter_free(iter);
    next = 0;
    iter = pp_imap(pool, echo_bytes, .input = next_megabyte, .user = &next, .window = 60);
    CHECK_EQ(fill(pool, gate, iter, &next, 0), 60); /* as it was asked for */
    pp_iter_free(iter);
    iter = pp_imap(pool, make_megabyte, .input = draw, .user = &source);
    for (int i = 0; i < READ; i++)
        CHECK_EQ(pp_next(iter, NULL), 0);
    CHECK(fill(pool, gate, iter, &source.next, READ) <= 40);
    source = source_of(0);
    pp_iter_free(iter);
    iter = pp_imap(pool, square, .input = draw, .user = &source);
    CHECK_EQ(fill(pool, gate, iter, &source.next, 0), 256);
    finish(pool);
    gate_free(gate);
}

/* ---- No memory ---- */

static void write_byte(const void *args, void *result)
{
    *(char *)result = (char)*(const long *)args;
}

/* Its results are large, but a worker writes one byte. */
static pp_task large_results(size_t size)
{
    pp_task task = square_pp_task;

    task.name = "write_byte";
    task.run = write_byte;
    task.result_size = size;
    return task;
}

/* No item is drawn that could not be kept. */
TEST(no_memory_for_a_chunk)
{
    pp_pool *pool = pool_of(1);
    struct source source = source_of(0);
    pp_task task = large_results((size_t)1 << 30);
    long items[1];
    pp_imap_options options = { .size = sizeof options,
                                .input = draw,
                                .user = &source,
                                .chunksize = 1000000,
                                .window = 1000000 };
    pp_iter *iter;
    long value;

    if (HARNESS_SANITIZED)
        SKIP("sanitizers end a program that asks for so much");
    iter = pp_imap_with(pool, &task, &options);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(iter, NULL), -ENOMEM);
    CHECK_EQ(source.next, 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), &value), 0);
    options.input = NULL;
    options.items = items;
    options.count = 1000000;
    CHECK_NULL(pp_imap_with(pool, &task, &options), ENOMEM);
    finish(pool);
}

static void limit_memory(rlim_t bytes)
{
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

/* It runs out in the middle: what is there is not lost, and a join comes to its end. */
TEST(no_memory_any_more)
{
    enum { LARGE = 40 << 20 }; /* more than malloc() ever takes from its heap */
    static unsigned char large[LARGE];
    pp_task task = large_results(LARGE);
    long items[] = { 1, 2, 3, 4, 5 };
    pp_pool *pool = pool_of(1);
    struct source source = source_of(0);
    pp_imap_options of_array = {
        .size = sizeof of_array, .items = items, .count = 5, .window = 2
    };
    pp_imap_options of_input = {
        .size = sizeof of_input, .input = draw, .user = &source, .window = 2
    };
    pp_iter *array = pp_imap_with(pool, &task, &of_array);
    pp_iter *input = pp_imap_with(pool, &task, &of_input);
    long drawn;

    if (HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("there is no limit on address space");
    CHECK_EQ(pp_next(input, large), 0);
    CHECK_SOON(pp_apply(pool, PP_CALL(square, 3), NULL) == 0 && source.next > 1);
    drawn = source.next;
    limit_memory(1 << 20);
    for (long i = 1; i < drawn; i++) {
        CHECK_EQ(pp_next(input, large), 0);
        CHECK_EQ(large[0], i);
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(input, large), -ENOMEM);
    CHECK_EQ(source.next, drawn);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    limit_memory(RLIM_INFINITY);
    for (int i = 1; i <= 2; i++) {
        CHECK_EQ(pp_next(array, large), 0);
        CHECK_EQ(large[0], i);
    }
    CHECK_EQ(pp_next(array, large), -ESHUTDOWN);
    CHECK_EQ(pp_next(input, large), -ESHUTDOWN);
    CHECK_EQ(pp_pool_free(pool), 0);
}
