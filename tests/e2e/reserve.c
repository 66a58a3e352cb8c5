/* SPDX-License-Identifier: MIT */
/* pp_reserve(): memory of the result's own. */
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "support.h"

static void fill(void *memory, size_t size, unsigned long seed)
{
    unsigned char *bytes = memory;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)next_random(&seed);
}

static pp_bytes reserve(size_t size, int times, int which)
{
    unsigned char *wanted = NULL;
    unsigned long seed = size;

    for (int i = 0; i < times; i++) {
        unsigned char *memory = pp_reserve(size);

        if (!memory || (uintptr_t)memory % alignof(max_align_t))
            pp_raise(1, "no memory, or not aligned: %p", (void *)memory);
        memset(memory, i, size);
        if (i == which)
            wanted = memory;
    }
    if (!wanted)
        return (pp_bytes){ NULL, 0 };
    for (size_t i = 0; i < size; i++)
        wanted[i] = (unsigned char)next_random(&seed);
    return (pp_bytes){ wanted, size };
}
PP_TASK(pp_bytes, reserve, size_t, size, int, times, int, which);

static void check_reserve(pp_pool *pool, size_t size, int times, int which)
{
    unsigned char *expected = calloc(1, size + 1);
    pp_bytes bytes = { NULL, 99 };

    fill(expected, size, size);
    CHECK_EQ(pp_apply(pool, PP_CALL(reserve, size, times, which), &bytes), 0);
    CHECK_EQ(bytes.size, which < times ? size : 0);
    CHECK(bytes.size == 0 || memcmp(bytes.data, expected, size) == 0);
    free((void *)bytes.data);
    free(expected);
}

TEST(reserve_several_times)
{
    static const size_t sizes[] = { 1, 7, 64, 4096, 100000, 3000000 };
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 6; i++) {
        check_reserve(pool, sizes[i], 1, 0);
        for (int which = 0; which <= 4; which++) /* 4: none of them */
            check_reserve(pool, sizes[i], 4, which);
    }
    for (int i = 0; i < 200; i++)
        check_reserve(pool, 1000000, 2, i % 3);
    finish(pool);
}

static const char *inside(size_t offset)
{
    char *memory = pp_reserve(100);

    memset(memory, 'a', 99);
    memory[99] = '\0';
    return memory + offset;
}
PP_TASK(const char *, inside, size_t, offset);

TEST(string_in_the_middle_of_reserved_memory)
{
    pp_pool *pool = pool_of(1);
    const char *text = NULL;

    for (size_t offset = 0; offset < 100; offset += 33) {
        CHECK_EQ(pp_apply(pool, PP_CALL(inside, offset), &text), 0);
        CHECK_EQ(strlen(text), 99 - offset);
        free((void *)text);
    }
    finish(pool);
}

static int reserve_too_much(size_t size)
{
    void *memory;

    errno = 0;
    memory = pp_reserve(size);
    return memory ? 0 : errno;
}
PP_TASK(int, reserve_too_much, size_t, size);

TEST(reserve_too_much_to_have)
{
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2, 1UL << 60 };
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 4; i++) {
        int value = 0;

        CHECK_EQ(pp_apply(pool, PP_CALL(reserve_too_much, sizes[i]), &value), 0);
        CHECK_EQ(value, ENOMEM);
    }
    check_reserve(pool, 1000, 2, 1);
    finish(pool);
}

TEST(reserve_outside_of_a_task)
{
    char *memory = pp_reserve(100);

    CHECK(memory != NULL);
    memset(memory, 1, 100);
    free(memory);
    free((void *)reserve(1000, 1, 0).data);
}
