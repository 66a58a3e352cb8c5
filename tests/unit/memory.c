/* SPDX-License-Identifier: MIT */
/* Memory for the program: a block like any other, and what is large in huge pages. */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>

#include "harness.h"
#include "huge.h"

#define MIB ((size_t)1 << 20)

TEST(blocks_of_any_size)
{
    static const size_t sizes[] = { 0,       1,       4096,        4 * MIB - 1, 4 * MIB,
                                    5 * MIB, 32 * MIB - 1, 32 * MIB, 33 * MIB + 1 };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        char *block = ppi_malloc(size);

        CHECK(block != NULL);
        CHECK_EQ((uintptr_t)block % 16, 0);
        memset(block, 1, size);
        block = realloc(block, size + 1); /* as whoever gets it may do */
        CHECK(block != NULL);
        CHECK(size == 0 || (block[0] == 1 && block[size - 1] == 1));
        free(block);
    }
}

TEST(more_than_there_can_be)
{
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - MIB, SIZE_MAX / 2, SIZE_MAX / 4 };

    if (HARNESS_SANITIZED)
        SKIP("the sanitizer ends programs that ask for that");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        CHECK(ppi_malloc(sizes[i]) == NULL);
}

TEST(what_is_large_wants_huge_pages)
{
    static const size_t sizes[] = { 4 * MIB, 7 * MIB, 32 * MIB, 100 * MIB + 5 };

    need_huge_pages();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *block = ppi_malloc(sizes[i]);

        CHECK(wants_huge_pages(block + sizes[i] / 2));
        CHECK(sizes[i] < 32 * MIB || (uintptr_t)block % PPI_HUGE_PAGE == 0);
        CHECK(sizes[i] < 32 * MIB || wants_huge_pages(block + sizes[i] - 1));
        free(block);
    }
}

TEST(what_is_small_does_not)
{
    char *block = ppi_malloc(4 * MIB - 1);

    CHECK(!wants_huge_pages(block + 2 * MIB));
    free(block);
}
