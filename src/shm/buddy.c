/* SPDX-License-Identifier: MIT */
#include "shm/buddy.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "shm/segment.h"

#define NONE UINT32_MAX

/* What is in memory is known by granules of so many pages: blocks of this order. */
#define GRANULE_ORDER 6
#define GRANULE (PPI_PAGE << GRANULE_ORDER)

/* INSIDE: no block begins at this page.  SPARE: as if in use, but free for the next. */
enum state { INSIDE, FREE, USED, SPARE };

struct ppi_buddy_block {
    union {
        uint32_t next; /* in the list of free blocks of its order; and previous */
        uint32_t pages; /* of a block in use: those that were asked for */
    };
    uint32_t previous;
    uint8_t state;
    uint8_t order;
};

static size_t order_size(unsigned order)
{
    return PPI_PAGE << order;
}

static void push(struct ppi_buddy *buddy, uint32_t page, unsigned order)
{
    struct ppi_buddy_block *block = &buddy->blocks[page];

    *block = (struct ppi_buddy_block){
        .next = buddy->free[order], .previous = NONE, .state = FREE, .order = (uint8_t)order
    };
    if (block->next != NONE)
        buddy->blocks[block->next].previous = page;
    buddy->free[order] = page;
}

static void unlink_block(struct ppi_buddy *buddy, uint32_t page)
{
    struct ppi_buddy_block *block = &buddy->blocks[page];

    if (block->next != NONE)
        buddy->blocks[block->next].previous = block->previous;
    if (block->previous != NONE)
        buddy->blocks[block->previous].next = block->next;
    else
        buddy->free[block->order] = block->next;
    block->state = INSIDE;
}

/* The notes about an arena: blocks, then granules. */
static size_t size_of_notes(size_t size)
{
    return size / PPI_PAGE * sizeof(struct ppi_buddy_block) + (size + GRANULE - 1) / GRANULE;
}

int ppi_buddy_init(struct ppi_buddy *buddy, char *base, size_t size, size_t keep)
{
    size_t bytes = size_of_notes(size);
    /* Sparse, too: a page of it is touched when a block near it is used. */
    struct ppi_buddy_block *blocks = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (blocks == MAP_FAILED)
        return -ENOMEM;
    madvise(blocks, bytes, MADV_DONTFORK); /* strict overcommit would charge each child for it */
    *buddy = (struct ppi_buddy){ .base = base, .blocks = blocks, .keep = keep };
    buddy->present = (unsigned char *)(blocks + size / PPI_PAGE);
    while (order_size(buddy->top) < size)
        buddy->top++;
    for (unsigned order = 0; order < PPI_BUDDY_ORDERS; order++)
        buddy->free[order] = NONE;
    buddy->spare = NONE;
    push(buddy, 0, buddy->top);
    return 0;
}

void ppi_buddy_destroy(struct ppi_buddy *buddy)
{
    if (buddy->blocks)
        munmap(buddy->blocks, size_of_notes(order_size(buddy->top)));
    buddy->blocks = NULL;
}

/* ---- What is in memory ---- */

static uint32_t granules(uint32_t pages)
{
    return (pages + (1 << GRANULE_ORDER) - 1) >> GRANULE_ORDER;
}

/* The first pages from this one on, which begins a granule, were free and are not any more. */
static void occupy(struct ppi_buddy *buddy, uint32_t page, uint32_t pages)
{
    uint32_t first = page >> GRANULE_ORDER, end = first + granules(pages);
    size_t fresh = 0;

    for (uint32_t i = first; i < end; i++) {
        if (buddy->present[i])
            buddy->free_present -= GRANULE;
        else
            fresh += GRANULE;
        buddy->present[i] = true;
    }
    if (fresh >= PPI_LARGE)
        ppi_prefer_huge_pages(buddy->base + page * PPI_PAGE, pages * PPI_PAGE);
    buddy->highest = buddy->highest < end ? end : buddy->highest;
}

/* The end of the granules from first on that are present, if they end below this one. */
static uint32_t present_below(const struct ppi_buddy *buddy, uint32_t first, uint32_t end)
{
    while (end > first && !buddy->present[end - 1])
        end--;
    return end;
}

/* Gives pages of a free block back if more than enough is kept: the last ones, so that the
   front stays warm. */
static void release_excess(struct ppi_buddy *buddy, uint32_t page, unsigned order)
{
    uint32_t first = page >> GRANULE_ORDER;
    uint32_t end = first + (UINT32_C(1) << (order - GRANULE_ORDER));

    end = end < buddy->highest ? end : buddy->highest;
    while (buddy->free_present > buddy->keep &&
           (end = present_below(buddy, first, end)) > first) {
        uint32_t begin = end;
        size_t size = 0;

        for (; begin > first && buddy->present[begin - 1]; size += GRANULE, begin--)
            if (buddy->free_present - size <= buddy->keep)
                break;
        if (!ppi_segment_release_pages(buddy->base + begin * GRANULE, size))
            return;
        memset(&buddy->present[begin], false, end - begin);
        buddy->free_present -= size;
        end = begin;
    }
}

/* ---- Blocks ---- */

/* Splits off a block of this order; NONE if there is no room. */
static uint32_t split_off(struct ppi_buddy *buddy, unsigned wanted, uint32_t pages)
{
    unsigned order = wanted, found;
    uint32_t page;

    while (order <= buddy->top && buddy->free[order] == NONE)
        order++;
    if (order > buddy->top)
        return NONE;
    found = order;
    page = buddy->free[order];
    unlink_block(buddy, page);
    while (order > wanted) { /* keep the lower half, so that use stays near the front */
        order--;
        push(buddy, page + (UINT32_C(1) << order), order);
    }
    buddy->blocks[page].order = (uint8_t)order;
    if (found >= GRANULE_ORDER)
        occupy(buddy, page, pages);
    return page;
}

/* Merges a block with its other half while that is free. */
static void merge(struct ppi_buddy *buddy, uint32_t page)
{
    unsigned order = buddy->blocks[page].order;
    uint32_t pages = buddy->blocks[page].pages, other;

    for (; order < buddy->top; order++) {
        other = page ^ (UINT32_C(1) << order);
        if (buddy->blocks[other].state != FREE || buddy->blocks[other].order != order)
            break;
        unlink_block(buddy, other);
        buddy->blocks[page].state = INSIDE;
        page &= other;
    }
    push(buddy, page, order);
    if (order < GRANULE_ORDER)
        return; /* others still use this granule */
    buddy->free_present += granules(pages) * GRANULE;
    release_excess(buddy, page, order);
}

/* Merges what is spared, if there is something. */
static bool merge_spare(struct ppi_buddy *buddy)
{
    uint32_t page = buddy->spare;

    buddy->spare = NONE;
    if (page != NONE)
        merge(buddy, page);
    return page != NONE;
}

/* What is spared, if it is of this order. */
static uint32_t take_spare(struct ppi_buddy *buddy, unsigned order)
{
    uint32_t page = buddy->spare;

    if (page == NONE || buddy->blocks[page].order != order)
        return NONE;
    buddy->spare = NONE;
    return page;
}

void *ppi_buddy_alloc(struct ppi_buddy *buddy, size_t size)
{
    uint32_t pages = size > 0 ? (uint32_t)((size - 1) / PPI_PAGE + 1) : 1, page;
    unsigned order = 0;

    while (order <= buddy->top && order_size(order) < size)
        order++;
    if (order > buddy->top)
        return NULL;
    if (order >= GRANULE_ORDER) /* what it needs is likely to be where the last one was */
        merge_spare(buddy);
    page = take_spare(buddy, order);
    if (page == NONE)
        page = split_off(buddy, order, pages);
    if (page == NONE && merge_spare(buddy))
        page = split_off(buddy, order, pages);
    if (page == NONE)
        return NULL;
    buddy->blocks[page].state = USED;
    buddy->blocks[page].pages = pages;
    return buddy->base + (size_t)page * PPI_PAGE;
}

void ppi_buddy_free(struct ppi_buddy *buddy, void *block)
{
    uint32_t page;

    if (!block)
        return;
    page = (uint32_t)((size_t)((char *)block - buddy->base) / PPI_PAGE);
    assert(buddy->blocks[page].state == USED);
    if (buddy->blocks[page].order >= GRANULE_ORDER) {
        merge(buddy, page);
        return;
    }
    merge_spare(buddy);
    buddy->spare = page;
    buddy->blocks[page].state = SPARE;
}

size_t ppi_buddy_extent(const struct ppi_buddy *buddy, const void *block)
{
    size_t page = (size_t)((const char *)block - buddy->base) / PPI_PAGE;

    return buddy->blocks[page].pages * PPI_PAGE;
}

size_t ppi_buddy_size(const struct ppi_buddy *buddy, const void *block)
{
    uintptr_t at = (uintptr_t)block, base = (uintptr_t)buddy->base;
    const struct ppi_buddy_block *found;

    if (at < base || at - base >= order_size(buddy->top) || (at - base) % PPI_PAGE != 0)
        return 0;
    found = &buddy->blocks[(at - base) / PPI_PAGE];
    return found->state == USED ? order_size(found->order) : 0;
}

bool ppi_buddy_valid(const struct ppi_buddy *buddy)
{
    uint32_t page = 0, pages = UINT32_C(1) << buddy->top;

    while (page < pages) {
        const struct ppi_buddy_block *block = &buddy->blocks[page];
        uint32_t size = UINT32_C(1) << block->order, other = page ^ size;

        if (block->state == INSIDE || (page & (size - 1)) != 0)
            return false;
        if (block->state == FREE && block->order < buddy->top &&
            buddy->blocks[other].state == FREE && buddy->blocks[other].order == block->order)
            return false;
        page += size;
    }
    return page == pages;
}
