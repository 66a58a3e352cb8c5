/* SPDX-License-Identifier: MIT */
#include "shm/buddy.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "shm/segment.h"

#define NONE UINT32_MAX

/* Blocks of this order and above give their pages back when too much is kept. */
#define RELEASE_ORDER 6

enum state { INSIDE, FREE, USED }; /* INSIDE: no block begins at this page */

struct ppi_buddy_block {
    uint32_t next, previous; /* in the list of free blocks of its order */
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

int ppi_buddy_init(struct ppi_buddy *buddy, char *base, size_t size, size_t keep)
{
    size_t bytes = size / PPI_PAGE * sizeof(struct ppi_buddy_block);
    /* Sparse, too: a page of it is touched when a block near it is used. */
    void *blocks = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (blocks == MAP_FAILED)
        return -ENOMEM;
    madvise(blocks, bytes, MADV_DONTFORK); /* strict overcommit would charge each child for it */
    *buddy = (struct ppi_buddy){ .base = base, .blocks = blocks, .keep = keep };
    while (order_size(buddy->top) < size)
        buddy->top++;
    for (unsigned order = 0; order < PPI_BUDDY_ORDERS; order++)
        buddy->free[order] = NONE;
    push(buddy, 0, buddy->top);
    return 0;
}

void ppi_buddy_destroy(struct ppi_buddy *buddy)
{
    if (buddy->blocks)
        munmap(buddy->blocks, (sizeof(struct ppi_buddy_block)) << buddy->top);
    buddy->blocks = NULL;
}

void *ppi_buddy_alloc(struct ppi_buddy *buddy, size_t size)
{
    unsigned wanted = 0, order;
    uint32_t page;

    while (wanted <= buddy->top && order_size(wanted) < size)
        wanted++;
    for (order = wanted; order <= buddy->top && buddy->free[order] == NONE; order++)
        ;
    if (order > buddy->top)
        return NULL;
    page = buddy->free[order];
    unlink_block(buddy, page);
    while (order > wanted) { /* keep the lower half, so that use stays near the front */
        order--;
        push(buddy, page + (UINT32_C(1) << order), order);
    }
    buddy->blocks[page].state = USED;
    buddy->blocks[page].order = (uint8_t)order;
    buddy->free_touched -= buddy->free_touched < size ? buddy->free_touched : size;
    return buddy->base + (size_t)page * PPI_PAGE;
}

/* Gives a free block's pages back if more than enough is kept. */
static void release_or_keep(struct ppi_buddy *buddy, uint32_t page, unsigned order)
{
    size_t size = order_size(order);

    if (order < RELEASE_ORDER || buddy->free_touched <= buddy->keep)
        return;
    ppi_segment_release_pages(buddy->base + (size_t)page * PPI_PAGE, size);
    buddy->free_touched -= buddy->free_touched < size ? buddy->free_touched : size;
}

void ppi_buddy_free(struct ppi_buddy *buddy, void *block)
{
    uint32_t page, other;
    unsigned order;

    if (!block)
        return;
    page = (uint32_t)((size_t)((char *)block - buddy->base) / PPI_PAGE);
    assert(buddy->blocks[page].state == USED);
    order = buddy->blocks[page].order;
    buddy->free_touched += order_size(order);
    for (; order < buddy->top; order++) { /* merge with its other half while that is free */
        other = page ^ (UINT32_C(1) << order);
        if (buddy->blocks[other].state != FREE || buddy->blocks[other].order != order)
            break;
        unlink_block(buddy, other);
        buddy->blocks[page].state = INSIDE;
        page &= other;
    }
    push(buddy, page, order);
    release_or_keep(buddy, page, order); /* small ones, too, when they have become a large one */
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
