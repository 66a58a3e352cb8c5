/* SPDX-License-Identifier: MIT */
/* Memory of pp_shared_alloc(): one and the same in the client and in all tasks. */
#include <stdint.h>

#include "battery.h"

static int fill(unsigned char *memory, size_t size, int byte)
{
    for (size_t i = 0; i < size; i++)
        if (memory[i] != 0)
            return 1;
    memset(memory, byte, size);
    return 0;
}
PP_TASK(int, fill, unsigned char *, memory, size_t, size, int, byte);

static size_t count_bytes(const unsigned char *memory, size_t size, int byte)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += memory[i] == byte;
    return count;
}
PP_TASK(size_t, count_bytes, const unsigned char *, memory, size_t, size, int, byte);

CASE(shared_both_ways)
{
    pp_pool *pool = new_pool(.processes = 2);

    for (size_t size = 1; size <= 1 << 22; size *= 8) {
        unsigned char *memory = pp_shared_alloc(pool, size);
        size_t count = 0;
        int dirty = 1;

        CHECK_EQ((uintptr_t)memory % (size_t)sysconf(_SC_PAGESIZE), 0);
        CHECK_EQ(pp_apply(pool, PP_CALL(fill, memory, size, 'a'), &dirty), 0);
        CHECK_EQ(dirty, 0);
        CHECK_EQ(count_bytes(memory, size, 'a'), size);
        memset(memory, 'b', size);
        CHECK_EQ(pp_apply(pool, PP_CALL(count_bytes, memory, size, 'b'), &count), 0);
        CHECK_EQ(count, size);
        if (size % 3)
            CHECK_EQ(pp_shared_free(pool, memory), 0);
    }
    finish(pool);
}

/* Zeroed each time, also where something was before. */
CASE(shared_is_zeroed)
{
    pp_pool *pool = new_pool(.processes = 1);

    for (int i = 0; i < 50; i++) {
        unsigned char *memory = pp_shared_alloc(pool, 20000);

        CHECK_EQ(count_bytes(memory, 20000, 0), 20000);
        memset(memory, 'x', 20000);
        CHECK_EQ(pp_shared_free(pool, memory), 0);
    }
    finish(pool);
}

CASE(shared_frees)
{
    pp_pool *pool = new_pool(.processes = 1), *other = new_pool(.processes = 1);
    char *memory = pp_shared_alloc(pool, 100000);
    int local;

    CHECK(pp_shared_alloc(pool, 0) != NULL);
    CHECK_NULL(pp_shared_alloc(NULL, 10), EINVAL);
    CHECK_NULL(pp_shared_alloc(pool, SIZE_MAX), ENOMEM);
    CHECK_EQ(pp_shared_free(pool, NULL), 0);
    CHECK_EQ(pp_shared_free(NULL, memory), -EINVAL);
    CHECK_EQ(pp_shared_free(pool, memory + 1), -EINVAL);
    CHECK_EQ(pp_shared_free(pool, memory + 8192), -EINVAL);
    CHECK_EQ(pp_shared_free(pool, &local), -EINVAL);
    CHECK_EQ(pp_shared_free(other, memory), -EINVAL);
    CHECK_EQ(pp_shared_free(pool, memory), 0);
    CHECK_EQ(pp_shared_free(pool, memory), -EINVAL);
    finish(pool);
    finish(other);
}

struct node {
    struct node *next;
    long value;
};

static long sum_list(const struct node *first)
{
    long sum = 0;

    for (const struct node *node = first; node; node = node->next)
        sum += node->value;
    return sum;
}
PP_TASK(long, sum_list, const struct node *, first);

static const struct node *last_node(const struct node *first)
{
    while (first->next)
        first = first->next;
    return first;
}
PP_TASK(const struct node *, last_node, const struct node *, first);

/* The same address everywhere: pointers within it hold, in both directions. */
CASE(shared_pointers)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct node *first = NULL, *bottom = NULL;
    const struct node *last = NULL;
    long sum = 0;

    for (long i = 1; i <= 100; i++) {
        struct node *node = pp_shared_alloc(pool, sizeof *node);

        *node = (struct node){ first, i };
        first = node;
        bottom = bottom ? bottom : node;
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(sum_list, first), &sum), 0);
    CHECK_EQ(sum, 5050);
    CHECK_EQ(pp_apply(pool, PP_CALL(last_node, first), &last), 0);
    CHECK_EQ(last, bottom);
    finish(pool);
}

CASE(shared_counter)
{
    pp_pool *pool = new_pool(.processes = 3);
    atomic_int *counter = counter_in(pool);
    atomic_int *items[3000];

    for (int i = 0; i < 3000; i++)
        items[i] = counter;
    CHECK_EQ(pp_map(pool, touch, items, 3000, NULL), 0);
    CHECK_EQ(atomic_load(counter), 3000);
    finish(pool);
}

/* It lives until the pool is freed. */
CASE(shared_outlives_the_workers)
{
    pp_pool *pool = new_pool(.processes = 1);
    unsigned char *memory = pp_shared_alloc(pool, 5000);
    unsigned char *other = pp_shared_alloc(pool, 5000);

    CHECK_EQ(pp_apply(pool, PP_CALL(fill, memory, 5000, 'z'), NULL), 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(count_bytes(memory, 5000, 'z'), 5000);
    memory[0] = 'y';
    CHECK_NULL(pp_shared_alloc(pool, 1), ESHUTDOWN);
    CHECK_EQ(pp_shared_free(pool, other), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* Workers that began before and after it was taken see it alike. */
CASE(shared_with_replacements)
{
    pp_pool *pool = new_pool(.processes = 2, .max_tasks_per_child = 3);

    for (int i = 0; i < 20; i++) {
        atomic_int *counter = counter_in(pool);

        for (int n = 0; n < 4; n++)
            CHECK_EQ(pp_apply(pool, PP_CALL(touch, counter), NULL), 0);
        CHECK_EQ(atomic_load(counter), 4);
    }
    finish(pool);
}
