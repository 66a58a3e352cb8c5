/* SPDX-License-Identifier: MIT */
/* The allocator of the argument arena, beside a map of which pages are in use. */
#include "shm/buddy.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "huge.h"
#include "rounds.h"
#include "shm/segment.h"

#define MIB ((size_t)1 << 20)
#define GRANULE (MIB / 4) /* by which it is known what is in memory */

/* An arena on a memfd, whose size on disk says how much of it is in memory. */
struct fixture {
    struct ppi_buddy buddy;
    char *base;
    size_t size;
    int fd;
};

static struct fixture set_up(size_t size, size_t keep)
{
    struct fixture fixture = { .size = size, .fd = memfd_create("buddy", MFD_CLOEXEC) };

    CHECK(fixture.fd >= 0);
    CHECK_EQ(ftruncate(fixture.fd, (off_t)size), 0);
    fixture.base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fixture.fd, 0);
    CHECK(fixture.base != MAP_FAILED);
    CHECK_EQ(ppi_buddy_init(&fixture.buddy, fixture.base, size, keep), 0);
    CHECK(ppi_buddy_valid(&fixture.buddy));
    return fixture;
}

static void tear_down(struct fixture *fixture)
{
    ppi_buddy_destroy(&fixture->buddy);
    CHECK_EQ(munmap(fixture->base, fixture->size), 0);
    CHECK_EQ(close(fixture->fd), 0);
}

static size_t in_memory(const struct fixture *fixture)
{
    struct stat status;

    CHECK_EQ(fstat(fixture->fd, &status), 0);
    return (size_t)status.st_blocks * 512;
}

static void touch(char *block, size_t size)
{
    for (size_t at = 0; at < size; at += PPI_PAGE)
        block[at] = 1;
}

TEST(blocks_have_their_size_rounded_up)
{
    static const struct {
        size_t wanted, given;
    } sizes[] = { { 0, PPI_PAGE },
                  { 1, PPI_PAGE },
                  { PPI_PAGE, PPI_PAGE },
                  { PPI_PAGE + 1, 2 * PPI_PAGE },
                  { 3 * PPI_PAGE, 4 * PPI_PAGE },
                  { MIB, MIB } };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct fixture fixture = set_up(MIB, 0);
        size_t count = 0;

        while (ppi_buddy_alloc(&fixture.buddy, sizes[i].wanted))
            count++;
        CHECK_EQ(count, MIB / sizes[i].given);
        CHECK(ppi_buddy_valid(&fixture.buddy));
        tear_down(&fixture);
    }
}

TEST(sizes_beyond_the_arena_fail)
{
    struct fixture fixture = set_up(MIB, 0);

    CHECK(ppi_buddy_alloc(&fixture.buddy, MIB + 1) == NULL);
    CHECK(ppi_buddy_alloc(&fixture.buddy, SIZE_MAX / 2 + 2) == NULL);
    CHECK(ppi_buddy_alloc(&fixture.buddy, SIZE_MAX) == NULL);
    CHECK(ppi_buddy_alloc(&fixture.buddy, MIB) != NULL);
    tear_down(&fixture);
}

TEST(an_arena_of_one_page)
{
    struct fixture fixture = set_up(PPI_PAGE, 0);
    void *block = ppi_buddy_alloc(&fixture.buddy, 1);

    CHECK_EQ(block, (void *)fixture.base);
    CHECK(ppi_buddy_alloc(&fixture.buddy, 1) == NULL);
    ppi_buddy_free(&fixture.buddy, block);
    CHECK_EQ(ppi_buddy_alloc(&fixture.buddy, 1), (void *)fixture.base);
    tear_down(&fixture);
}

TEST(null_is_freed_without_effect)
{
    struct fixture fixture = set_up(MIB, 0);

    ppi_buddy_free(&fixture.buddy, NULL);
    CHECK(ppi_buddy_valid(&fixture.buddy));
    CHECK(ppi_buddy_alloc(&fixture.buddy, MIB) != NULL);
    tear_down(&fixture);
}

TEST(use_stays_near_the_front)
{
    struct fixture fixture = set_up(MIB, 0);

    CHECK_EQ(ppi_buddy_alloc(&fixture.buddy, 1), (void *)fixture.base);
    CHECK_EQ(ppi_buddy_alloc(&fixture.buddy, 1), (void *)(fixture.base + PPI_PAGE));
    CHECK_EQ(ppi_buddy_alloc(&fixture.buddy, 1), (void *)(fixture.base + 2 * PPI_PAGE));
    tear_down(&fixture);
}

TEST(what_was_freed_last_is_used_first)
{
    struct fixture fixture = set_up(MIB, MIB);
    void *blocks[8];

    for (int i = 0; i < 8; i++)
        blocks[i] = ppi_buddy_alloc(&fixture.buddy, 1);
    for (int i = 0; i < 8; i += 2) /* the other halves stay, so that nothing is merged */
        ppi_buddy_free(&fixture.buddy, blocks[i]);
    for (int i = 6; i >= 0; i -= 2)
        CHECK_EQ(ppi_buddy_alloc(&fixture.buddy, 1), blocks[i]);
    tear_down(&fixture);
}

TEST(one_small_block_after_the_other)
{
    struct fixture fixture = set_up(64 * MIB, 64 * MIB);
    void *block = ppi_buddy_alloc(&fixture.buddy, 3000);
    struct ppi_buddy split = fixture.buddy;

    for (size_t i = 0; i < 10; i++) {
        ppi_buddy_free(&fixture.buddy, block);
        CHECK_EQ(memcmp(fixture.buddy.free, split.free, sizeof split.free), 0);
        CHECK_EQ(ppi_buddy_size(&fixture.buddy, block), 0);
        CHECK(ppi_buddy_valid(&fixture.buddy));
        CHECK_EQ(ppi_buddy_alloc(&fixture.buddy, i), block);
    }
    ppi_buddy_free(&fixture.buddy, block);
    CHECK(ppi_buddy_alloc(&fixture.buddy, PPI_PAGE + 1) != block);
    tear_down(&fixture);
}

/* A large one does not have to go elsewhere for them, where nothing is warm. */
TEST(a_large_block_after_a_small_one)
{
    struct fixture fixture = set_up(64 * MIB, 64 * MIB);

    for (int i = 0; i < 3; i++) {
        void *large = ppi_buddy_alloc(&fixture.buddy, 10 * MIB), *small;

        CHECK_EQ(large, (void *)fixture.base);
        ppi_buddy_free(&fixture.buddy, large);
        small = ppi_buddy_alloc(&fixture.buddy, 1);
        CHECK_EQ(small, (void *)fixture.base);
        ppi_buddy_free(&fixture.buddy, small);
    }
    tear_down(&fixture);
}

/* Only where a block in use begins is its size known. */
TEST(sizes_of_blocks)
{
    struct fixture fixture = set_up(MIB, 0);
    char *first = ppi_buddy_alloc(&fixture.buddy, 3 * PPI_PAGE);
    char *second = ppi_buddy_alloc(&fixture.buddy, 1);

    CHECK_EQ(ppi_buddy_size(&fixture.buddy, first), 4 * PPI_PAGE);
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, second), PPI_PAGE);
    CHECK_EQ(ppi_buddy_extent(&fixture.buddy, first), 3 * PPI_PAGE);
    CHECK_EQ(ppi_buddy_extent(&fixture.buddy, second), PPI_PAGE);
    for (size_t at = 1; at < 4 * PPI_PAGE; at++)
        CHECK_EQ(ppi_buddy_size(&fixture.buddy, first + at), 0);
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, second + PPI_PAGE), 0); /* it is free */
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, fixture.base - 1), 0);
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, fixture.base - PPI_PAGE), 0);
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, fixture.base + MIB), 0);
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, NULL), 0);
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, (void *)UINTPTR_MAX), 0);
    ppi_buddy_free(&fixture.buddy, first);
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, first), 0);
    ppi_buddy_free(&fixture.buddy, second); /* all is merged */
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, second), 0);
    CHECK_EQ(ppi_buddy_size(&fixture.buddy, ppi_buddy_alloc(&fixture.buddy, MIB)), MIB);
    for (size_t at = PPI_PAGE; at < MIB; at += PPI_PAGE)
        CHECK_EQ(ppi_buddy_size(&fixture.buddy, fixture.base + at), 0);
    tear_down(&fixture);
}

/* ---- Any sequence -------------------------------------------------------- */

enum { PAGES = 256, MOST_BLOCKS = PAGES };

struct block {
    char *data;
    size_t size, pages;
    unsigned char fill;
};

/* What there should be. */
struct model {
    struct fixture fixture;
    bool used[PAGES];
    struct block blocks[MOST_BLOCKS];
    unsigned count;
    unsigned char fill;
};

static size_t pages_for(size_t size)
{
    size_t pages = 1;

    while (pages * PPI_PAGE < size)
        pages *= 2;
    return pages;
}

/* Whether so many pages that begin at a multiple of their number are free. */
static bool has_room(const struct model *model, size_t pages)
{
    for (size_t first = 0; first + pages <= PAGES; first += pages) {
        size_t free = 0;

        while (free < pages && !model->used[first + free])
            free++;
        if (free == pages)
            return true;
    }
    return false;
}

static void occupy(struct random *random, struct model *model, const struct block *block)
{
    size_t first = (size_t)(block->data - model->fixture.base) / PPI_PAGE;

    HOLDS(*random, block->data >= model->fixture.base && first + block->pages <= PAGES);
    HOLDS(*random, first % block->pages == 0);
    for (size_t page = first; page < first + block->pages; page++) {
        HOLDS(*random, !model->used[page]);
        model->used[page] = true;
    }
}

static void allocate(struct random *random, struct model *model)
{
    struct block *block = &model->blocks[model->count];

    block->size = random_size(random, 19);
    block->pages = pages_for(block->size);
    block->fill = ++model->fill;
    block->data = ppi_buddy_alloc(&model->fixture.buddy, block->size);
    HOLDS(*random, (block->data != NULL) == has_room(model, block->pages));
    if (!block->data)
        return;
    occupy(random, model, block);
    HOLDS(*random, ppi_buddy_size(&model->fixture.buddy, block->data) ==
                       block->pages * PPI_PAGE);
    memset(block->data, block->fill, block->size);
    model->count++;
}

static void free_one(struct random *random, struct model *model)
{
    unsigned i = random_below(random, model->count);
    struct block block = model->blocks[i];
    size_t first = (size_t)(block.data - model->fixture.base) / PPI_PAGE;

    for (size_t at = 0; at < block.size; at++)
        if ((unsigned char)block.data[at] != block.fill)
            FAIL_ROUND(*random, "a block has not kept what was written");
    ppi_buddy_free(&model->fixture.buddy, block.data);
    memset(&model->used[first], 0, block.pages * sizeof model->used[0]);
    model->blocks[i] = model->blocks[--model->count];
}

static void free_all(struct random *random, struct model *model)
{
    while (model->count > 0) {
        free_one(random, model);
        HOLDS(*random, ppi_buddy_valid(&model->fixture.buddy));
    }
    HOLDS(*random, ppi_buddy_alloc(&model->fixture.buddy, MIB) == model->fixture.base);
}

TEST(any_sequence_of_calls)
{
    FOR_ROUNDS(random, 60) {
        static struct model model;
        unsigned fullness = random_below(&random, 80) + 10;

        model = (struct model){ .fixture = set_up(PAGES * PPI_PAGE,
                                                  random_below(&random, PAGES) * PPI_PAGE) };
        for (int step = 0; step < 1000; step++) {
            if (model.count == 0 ||
                (model.count < MOST_BLOCKS && random_percent(&random, fullness)))
                allocate(&random, &model);
            else
                free_one(&random, &model);
            HOLDS(random, ppi_buddy_valid(&model.fixture.buddy));
        }
        free_all(&random, &model);
        tear_down(&model.fixture);
    }
}

/* The granules that blocks in use lie in, in bytes. */
static size_t used_granules(const struct model *model)
{
    static bool used[64 * MIB / GRANULE];
    size_t bytes = 0;

    memset(used, 0, sizeof used);
    for (unsigned i = 0; i < model->count; i++) {
        size_t at = (size_t)(model->blocks[i].data - model->fixture.base);

        for (size_t end = at + model->blocks[i].size; at < end; at += PPI_PAGE)
            used[at / GRANULE] = true;
    }
    for (size_t i = 0; i < sizeof used; i++)
        bytes += used[i] * GRANULE;
    return bytes;
}

/* Whatever is allocated and freed, in memory is what is used, the granule of the last small
   block, and what is kept. */
TEST(any_sequence_keeps_no_more_than_it_may)
{
    FOR_ROUNDS(random, 20) {
        static struct model model;
        size_t keep = random_below(&random, 32) * MIB / 2;

        model = (struct model){ .fixture = set_up(64 * MIB, keep) };
        for (int step = 0; step < 300; step++) {
            struct block *block = &model.blocks[model.count];

            if (model.count > 0 && random_percent(&random, 45)) {
                unsigned i = random_below(&random, model.count);

                ppi_buddy_free(&model.fixture.buddy, model.blocks[i].data);
                model.blocks[i] = model.blocks[--model.count];
            } else {
                block->size = random_size(&random, 23);
                block->data = ppi_buddy_alloc(&model.fixture.buddy, block->size);
                if (block->data)
                    touch(block->data, block->size);
                model.count += block->data && model.count < MOST_BLOCKS - 1;
            }
            HOLDS(random, in_memory(&model.fixture) <= used_granules(&model) + keep + GRANULE);
        }
        tear_down(&model.fixture);
    }
}

/* ---- What stays in memory ------------------------------------------------ */

TEST(little_that_is_free_stays_in_memory)
{
    struct fixture fixture = set_up(64 * MIB, 2 * MIB);
    char *block = ppi_buddy_alloc(&fixture.buddy, MIB);

    touch(block, MIB);
    ppi_buddy_free(&fixture.buddy, block);
    CHECK_EQ(in_memory(&fixture), MIB);
    tear_down(&fixture);
}

TEST(much_that_is_free_is_given_back)
{
    struct fixture fixture = set_up(64 * MIB, 2 * MIB);

    for (int round = 0; round < 3; round++) {
        char *block = ppi_buddy_alloc(&fixture.buddy, 16 * MIB);

        touch(block, 16 * MIB);
        CHECK_EQ(in_memory(&fixture), 16 * MIB);
        ppi_buddy_free(&fixture.buddy, block);
        CHECK_EQ(in_memory(&fixture), 2 * MIB);
        for (size_t at = 0; at < 16 * MIB; at += PPI_PAGE)
            CHECK_EQ(block[at], at < 2 * MIB);
    }
    tear_down(&fixture);
}

/* Blocks a little larger than a power of two, and others in between: what fits into what
   is kept stays there. */
TEST(what_is_used_again_stays_in_memory)
{
    struct fixture fixture = set_up(64 * MIB, 9 * MIB);

    for (int round = 0; round < 10; round++) {
        char *block = ppi_buddy_alloc(&fixture.buddy, 8 * MIB + 1);
        char *small = ppi_buddy_alloc(&fixture.buddy, 3 * PPI_PAGE);

        CHECK(round == 0 || (block[0] == 1 && block[8 * MIB] == 1));
        touch(block, 8 * MIB + 1);
        touch(small, 3 * PPI_PAGE);
        ppi_buddy_free(&fixture.buddy, round % 2 ? block : small);
        ppi_buddy_free(&fixture.buddy, round % 2 ? small : block);
        CHECK_EQ(in_memory(&fixture), 8 * MIB + 4 * PPI_PAGE);
    }
    tear_down(&fixture);
}

/* A block that does not need all that it could does not lose sight of the rest. */
TEST(what_a_smaller_block_leaves_is_not_forgotten)
{
    struct fixture fixture = set_up(64 * MIB, 2 * MIB);
    char *block = ppi_buddy_alloc(&fixture.buddy, 2 * MIB);

    touch(block, 2 * MIB);
    ppi_buddy_free(&fixture.buddy, block);
    CHECK_EQ(ppi_buddy_alloc(&fixture.buddy, MIB + 1), (void *)block);
    block = ppi_buddy_alloc(&fixture.buddy, 4 * MIB);
    touch(block, 4 * MIB);
    CHECK_EQ(in_memory(&fixture), 6 * MIB);
    ppi_buddy_free(&fixture.buddy, block);
    CHECK_EQ(in_memory(&fixture), MIB + MIB / 4 + 2 * MIB);
    tear_down(&fixture);
}

TEST(many_blocks_that_are_free_are_given_back)
{
    struct fixture fixture = set_up(64 * MIB, 2 * MIB);
    char *blocks[64];

    for (int i = 0; i < 64; i++) {
        blocks[i] = ppi_buddy_alloc(&fixture.buddy, MIB);
        touch(blocks[i], MIB);
    }
    CHECK_EQ(in_memory(&fixture), 64 * MIB);
    for (int i = 0; i < 64; i++)
        ppi_buddy_free(&fixture.buddy, blocks[i]);
    CHECK(in_memory(&fixture) <= 2 * MIB);
    tear_down(&fixture);
}

TEST(many_small_blocks_that_are_free_are_given_back)
{
    struct fixture fixture = set_up(64 * MIB, 2 * MIB);
    char *blocks[1024];

    for (int i = 0; i < 1024; i++) {
        blocks[i] = ppi_buddy_alloc(&fixture.buddy, 16 * PPI_PAGE);
        touch(blocks[i], 16 * PPI_PAGE);
    }
    for (int i = 0; i < 1024; i++)
        ppi_buddy_free(&fixture.buddy, blocks[i]);
    CHECK(in_memory(&fixture) <= 2 * MIB + GRANULE);
    tear_down(&fixture);
}

TEST(what_rounding_up_adds_is_not_touched)
{
    struct fixture fixture = set_up(64 * MIB, 2 * MIB);
    char *block = ppi_buddy_alloc(&fixture.buddy, 8 * MIB + 1);

    touch(block, 8 * MIB + 1);
    CHECK_EQ(in_memory(&fixture), 8 * MIB + PPI_PAGE);
    tear_down(&fixture);
}

/* Where they are allowed; the kernel's default is that they are not.  What is small stays
   small, and what is there is not asked for again. */
TEST(large_blocks_want_huge_pages)
{
    struct fixture fixture = set_up(64 * MIB, 64 * MIB);
    char *small = ppi_buddy_alloc(&fixture.buddy, 4 * MIB - GRANULE), *large, *again;

    need_huge_pages();
    CHECK(!wants_huge_pages(small + 2 * MIB));
    large = ppi_buddy_alloc(&fixture.buddy, 16 * MIB);
    CHECK(wants_huge_pages(large + 8 * MIB));
    CHECK(!wants_huge_pages(small + 2 * MIB));
    ppi_buddy_free(&fixture.buddy, small);
    again = ppi_buddy_alloc(&fixture.buddy, 4 * MIB);
    CHECK_EQ(again, (void *)small);
    CHECK(!wants_huge_pages(again + 2 * MIB));
    tear_down(&fixture);
}
