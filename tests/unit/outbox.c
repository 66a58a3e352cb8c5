/* SPDX-License-Identifier: MIT */
/* The allocator of a worker's results, beside a list of the blocks that live. */
#include "shm/outbox.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "huge.h"
#include "rounds.h"
#include "shm/segment.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* An outbox of which no page is ever touched. */
static char *const nowhere = (char *)0x100000000;

static struct ppi_outbox outbox_of(size_t size)
{
    struct ppi_outbox outbox;

    ppi_outbox_init(&outbox, nowhere, size);
    return outbox;
}

static char *at(size_t offset)
{
    return nowhere + offset;
}

TEST(blocks_follow_each_other)
{
    struct ppi_outbox outbox = outbox_of(64 * KIB);

    CHECK(ppi_outbox_empty(&outbox));
    CHECK_EQ(ppi_outbox_alloc(&outbox, 64), at(0));
    CHECK_EQ(ppi_outbox_alloc(&outbox, 65), at(64));
    CHECK_EQ(ppi_outbox_alloc(&outbox, 0), at(192));
    CHECK_EQ(ppi_outbox_alloc(&outbox, 1), at(256));
    CHECK(!ppi_outbox_empty(&outbox));
    CHECK(ppi_outbox_valid(&outbox));
}

TEST(the_whole_outbox_can_be_one_block)
{
    struct ppi_outbox outbox = outbox_of(64 * KIB);

    CHECK(ppi_outbox_alloc(&outbox, 64 * KIB + 1) == NULL);
    CHECK(ppi_outbox_alloc(&outbox, SIZE_MAX) == NULL);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(ppi_outbox_alloc(&outbox, 64 * KIB), at(0));
        CHECK(!ppi_outbox_empty(&outbox));
        CHECK(ppi_outbox_alloc(&outbox, 1) == NULL);
        CHECK(ppi_outbox_valid(&outbox));
        ppi_outbox_release(&outbox, ppi_outbox_mark(&outbox));
        CHECK(ppi_outbox_empty(&outbox));
    }
}

TEST(what_is_empty_begins_at_the_front)
{
    struct ppi_outbox outbox = outbox_of(64 * KIB);

    for (int round = 0; round < 3; round++) {
        CHECK_EQ(ppi_outbox_alloc(&outbox, 40 * KIB), at(0));
        ppi_outbox_release(&outbox, ppi_outbox_mark(&outbox));
    }
}

TEST(trimming_gives_the_end_back)
{
    struct ppi_outbox outbox = outbox_of(64 * KIB);
    char *block = ppi_outbox_alloc(&outbox, 64 * KIB);

    ppi_outbox_trim(&outbox, block, 100);
    CHECK_EQ(ppi_outbox_alloc(&outbox, 64), at(128));
    block = ppi_outbox_alloc(&outbox, 1000);
    ppi_outbox_trim(&outbox, block, 0);
    CHECK_EQ(ppi_outbox_alloc(&outbox, 64), at(256));
    CHECK(ppi_outbox_valid(&outbox));
}

TEST(a_lap_ends_before_the_oldest_block)
{
    struct ppi_outbox outbox = outbox_of(64 * KIB);
    uint64_t first, second;

    ppi_outbox_alloc(&outbox, 16 * KIB);
    first = ppi_outbox_mark(&outbox);
    ppi_outbox_alloc(&outbox, 16 * KIB);
    second = ppi_outbox_mark(&outbox);
    ppi_outbox_alloc(&outbox, 32 * KIB);
    CHECK(ppi_outbox_alloc(&outbox, 1) == NULL);
    ppi_outbox_release(&outbox, first);
    CHECK_EQ(ppi_outbox_alloc(&outbox, 10 * KIB), at(0));
    CHECK(ppi_outbox_alloc(&outbox, 7 * KIB) == NULL);
    CHECK_EQ(ppi_outbox_alloc(&outbox, 6 * KIB), at(10 * KIB));
    CHECK(ppi_outbox_alloc(&outbox, 1) == NULL);
    ppi_outbox_release(&outbox, second);
    CHECK_EQ(ppi_outbox_alloc(&outbox, 16 * KIB), at(16 * KIB));
    CHECK(ppi_outbox_valid(&outbox));
}

/* Blocks that follow each other closely lie in the first few mebibytes of many. */
TEST(laps_keep_to_the_front)
{
    struct ppi_outbox outbox = outbox_of(1024 * MIB);
    uint64_t marks[8] = { 0 };
    size_t furthest = 0;

    for (unsigned i = 0; i < 10000; i++) {
        char *block = ppi_outbox_alloc(&outbox, 100 * KIB);
        size_t end = (size_t)(block - nowhere) + 100 * KIB;

        furthest = end > furthest ? end : furthest;
        if (i >= 8)
            ppi_outbox_release(&outbox, marks[i % 8]);
        marks[i % 8] = ppi_outbox_mark(&outbox);
        CHECK(ppi_outbox_valid(&outbox));
    }
    CHECK(furthest <= 5 * MIB);
}

/* The count of laps begins again. */
TEST(laps_without_end)
{
    struct ppi_outbox outbox = outbox_of(64 * KIB);
    uint64_t mark;

    for (uint64_t lap = 0; lap < 2; lap++) {
        outbox.start = outbox.end = (UINT64_MAX - lap) << 48;
        for (int round = 0; round < 3; round++) {
            CHECK_EQ(ppi_outbox_alloc(&outbox, 40 * KIB), at(0));
            mark = ppi_outbox_mark(&outbox);
            CHECK_EQ(ppi_outbox_alloc(&outbox, 24 * KIB), at(40 * KIB));
            ppi_outbox_release(&outbox, mark);
            CHECK_EQ(ppi_outbox_alloc(&outbox, KIB), at(0));
            CHECK(ppi_outbox_valid(&outbox));
            ppi_outbox_release(&outbox, ppi_outbox_mark(&outbox));
            CHECK(ppi_outbox_valid(&outbox));
        }
    }
}

/*
 * The oldest block goes while the newest, at the front already, still grows: nothing
 * is between that and the end then.
 */
TEST(a_lap_that_is_over_leaves_its_room)
{
    struct ppi_outbox outbox = outbox_of(64 * KIB);
    uint64_t first, second;

    ppi_outbox_alloc(&outbox, 24 * KIB);
    first = ppi_outbox_mark(&outbox);
    ppi_outbox_alloc(&outbox, 24 * KIB);
    second = ppi_outbox_mark(&outbox);
    ppi_outbox_release(&outbox, first);
    CHECK_EQ(ppi_outbox_alloc(&outbox, 20 * KIB), at(0));
    ppi_outbox_release(&outbox, second);
    CHECK_EQ(ppi_outbox_alloc(&outbox, 44 * KIB), at(20 * KIB));
    CHECK(ppi_outbox_valid(&outbox));
}

/* ---- Any sequence -------------------------------------------------------- */

enum { MOST_LIVE = 64 };

struct live {
    size_t offset, size;
    uint64_t mark; /* releases this one and those before it */
};

struct model {
    struct ppi_outbox outbox;
    struct live live[MOST_LIVE]; /* oldest first */
    unsigned count;
    bool trimmable; /* nothing has happened since the newest was allocated */
};

static size_t end_of(const struct live *block)
{
    return block->offset + ppi_round_up(block->size ? block->size : 1, PPI_OUTBOX_ALIGN);
}

/* Whether the rules of the ring let a block of this size in. */
static bool has_room(const struct model *model, size_t size)
{
    size_t start, end;

    if (model->count == 0)
        return size <= model->outbox.size;
    size = ppi_round_up(size ? size : 1, PPI_OUTBOX_ALIGN);
    start = model->live[0].offset;
    end = end_of(&model->live[model->count - 1]);
    if (end <= start) /* the newest lies before the oldest */
        return size <= start - end;
    return size <= start || size <= model->outbox.size - end;
}

static void check_block(struct random *random, const struct model *model,
                        const struct live *block)
{
    HOLDS(*random, block->offset % PPI_OUTBOX_ALIGN == 0);
    HOLDS(*random, end_of(block) <= model->outbox.size);
    for (unsigned i = 0; i < model->count; i++)
        HOLDS(*random, end_of(block) <= model->live[i].offset ||
                           end_of(&model->live[i]) <= block->offset);
}

static void allocate(struct random *random, struct model *model, unsigned bits)
{
    struct live block = { .size = random_size(random, bits) - 1 };
    char *data = ppi_outbox_alloc(&model->outbox, block.size);

    model->trimmable = data != NULL;
    HOLDS(*random, (data != NULL) == has_room(model, block.size));
    if (!data)
        return;
    block.offset = (size_t)(data - nowhere);
    block.mark = ppi_outbox_mark(&model->outbox);
    check_block(random, model, &block);
    model->live[model->count++] = block;
}

static void trim(struct random *random, struct model *model)
{
    struct live *newest = &model->live[model->count - 1];

    newest->size = random_below(random, newest->size + 1);
    ppi_outbox_trim(&model->outbox, at(newest->offset), newest->size);
    newest->mark = ppi_outbox_mark(&model->outbox);
}

static void release(struct random *random, struct model *model)
{
    unsigned count = 1 + random_below(random, model->count);

    ppi_outbox_release(&model->outbox, model->live[count - 1].mark);
    model->count -= count;
    memmove(model->live, &model->live[count], model->count * sizeof model->live[0]);
    model->trimmable = false;
}

static void any_step(struct random *random, struct model *model, unsigned bits,
                     unsigned fullness)
{
    if (model->trimmable && random_percent(random, 30))
        trim(random, model);
    if (model->count == 0 || (model->count < MOST_LIVE && random_percent(random, fullness)))
        allocate(random, model, bits);
    else
        release(random, model);
    HOLDS(*random, ppi_outbox_valid(&model->outbox));
    HOLDS(*random, ppi_outbox_empty(&model->outbox) == (model->count == 0));
}

static void any_sequence(size_t size, unsigned bits, uint64_t rounds)
{
    FOR_ROUNDS(random, rounds) {
        struct model model = { .outbox = outbox_of(size) };
        unsigned fullness = 40 + random_below(&random, 55);

        for (int step = 0; step < 2000; step++)
            any_step(&random, &model, bits, fullness);
    }
}

TEST(any_sequence_in_a_small_outbox)
{
    any_sequence(64 * KIB, 16, 200);
}

TEST(any_sequence_in_an_outbox_of_many_laps)
{
    any_sequence(64 * MIB, 21, 200);
}

/* ---- What stays in memory ------------------------------------------------ */

static size_t in_memory(int fd)
{
    struct stat status;

    CHECK_EQ(fstat(fd, &status), 0);
    return (size_t)status.st_blocks * 512;
}

struct fixture {
    struct ppi_outbox outbox;
    char *base;
    size_t size;
    int fd;
};

static struct fixture set_up(size_t size)
{
    struct fixture fixture = { .size = size, .fd = memfd_create("outbox", MFD_CLOEXEC) };

    CHECK_EQ(ftruncate(fixture.fd, (off_t)size), 0);
    fixture.base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fixture.fd, 0);
    CHECK(fixture.base != MAP_FAILED);
    ppi_outbox_init(&fixture.outbox, fixture.base, size);
    return fixture;
}

static void tear_down(struct fixture *fixture)
{
    CHECK_EQ(munmap(fixture->base, fixture->size), 0);
    CHECK_EQ(close(fixture->fd), 0);
}

TEST(much_that_is_free_is_given_back)
{
    struct fixture fixture = set_up(128 * MIB);
    struct ppi_outbox *outbox = &fixture.outbox;

    for (int round = 0; round < 3; round++) {
        char *block = ppi_outbox_alloc(outbox, 100 * MIB);

        CHECK_EQ(block, fixture.base);
        for (size_t offset = 0; offset < 100 * MIB; offset += PPI_PAGE)
            block[offset] = 1;
        CHECK_EQ(in_memory(fixture.fd), 100 * MIB);
        ppi_outbox_release(outbox, ppi_outbox_mark(outbox));
        ppi_outbox_alloc(outbox, 64);
        CHECK_EQ(in_memory(fixture.fd), 64 * MIB);
        ppi_outbox_release(outbox, ppi_outbox_mark(outbox));
    }
    tear_down(&fixture);
}

/* Where they are allowed.  What was used before is not asked for again. */
TEST(large_blocks_want_huge_pages)
{
    struct fixture fixture = set_up(128 * MIB);
    struct ppi_outbox *outbox = &fixture.outbox;

    need_huge_pages();
    ppi_outbox_alloc(outbox, MIB);
    ppi_outbox_release(outbox, ppi_outbox_mark(outbox));
    ppi_outbox_alloc(outbox, 5 * MIB - KIB);
    for (size_t offset = 0; offset < 5 * MIB; offset += 256 * KIB)
        CHECK(!wants_huge_pages(fixture.base + offset));
    ppi_outbox_alloc(outbox, 16 * MIB);
    for (size_t offset = 0; offset < 5 * MIB - KIB; offset += 256 * KIB)
        CHECK(!wants_huge_pages(fixture.base + offset));
    CHECK(wants_huge_pages(fixture.base + 12 * MIB));
    tear_down(&fixture);
}
