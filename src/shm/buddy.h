/* SPDX-License-Identifier: MIT */
/*
 * The allocator of the argument arena, and of the user's shared memory: a binary
 * buddy system (Knowlton, 1965) over address space that is large and sparse.
 *
 * Only the client allocates and frees, under its lock, and all bookkeeping is
 * private to it, so that nothing that a worker writes can disturb it.  Blocks are
 * powers of two from a page up; what rounding up adds is never touched and costs
 * nothing.  Blocks are reused last in, first out: their pages are there and warm.
 * Of what is free, at most keep bytes stay in memory, those that lie lowest in the block
 * that was freed last; counted by granules of 256 KiB, of which one is used if a part is.
 * The small block that was freed last is not merged, and counts as used, until another is
 * freed or a large one is wanted: one after the other, as calls that wait for their results
 * need them, they split and merge nothing.
 */
#ifndef PPI_SHM_BUDDY_H
#define PPI_SHM_BUDDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PPI_BUDDY_ORDERS 40

struct ppi_buddy_block; /* what is known of the block that begins at a page */

struct ppi_buddy {
    char *base;
    unsigned top;                    /* the whole arena is one block of this order */
    struct ppi_buddy_block *blocks;  /* one per page */
    uint32_t free[PPI_BUDDY_ORDERS]; /* first free block per order */
    unsigned char *present;          /* one per granule: whether it is in memory */
    uint32_t spare;                  /* page of the small block that was freed last */
    uint32_t highest;                /* no granule from here on ever was */
    size_t free_present;             /* bytes of granules that are, and are not used */
    size_t keep;
};

/* An arena of size bytes, a power of two and at least a page.  0 or -ENOMEM. */
int ppi_buddy_init(struct ppi_buddy *buddy, char *base, size_t size, size_t keep);
void ppi_buddy_destroy(struct ppi_buddy *buddy);

/* A block of at least size bytes, or NULL. */
void *ppi_buddy_alloc(struct ppi_buddy *buddy, size_t size);

/* Frees a block; accepts NULL. */
void ppi_buddy_free(struct ppi_buddy *buddy, void *block);

/*
 * The size, rounded up, of the block in use that begins at this address, whatever that
 * is; 0 if none does.
 */
size_t ppi_buddy_size(const struct ppi_buddy *buddy, const void *block);

/* The bytes that were asked for a block in use, rounded up to pages. */
size_t ppi_buddy_extent(const struct ppi_buddy *buddy, const void *block);

/* Whether all invariants hold: every page in one block, free neighbours merged. */
bool ppi_buddy_valid(const struct ppi_buddy *buddy);

#endif
