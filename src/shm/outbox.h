/* SPDX-License-Identifier: MIT */
/*
 * The allocator of a worker's result arena: a queue of blocks, freed in the order
 * in which they were allocated.
 *
 * Only the worker allocates; it frees when the client says how many completion
 * records it has taken.  All bookkeeping is private to the worker: what the client
 * needs, offset and size, stands in the records, and the client checks them.
 *
 * A position is {lap, offset}.  Normally the blocks lie from start to end in one
 * lap.  When the front is free and a good deal of the arena has been used, the
 * next lap begins at offset 0, so that the same few pages are used again and stay
 * warm.  When all is free it begins at offset 0, too.
 */
#ifndef PPI_SHM_OUTBOX_H
#define PPI_SHM_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ppi_outbox {
    char *base;
    size_t size;
    uint64_t start, end; /* positions: lap << 48 | offset; nothing is allocated when equal */
    size_t lap_end;      /* offset at which the lap before the end's was left */
    size_t highest;      /* offset that was ever used since pages were released */
};

#define PPI_OUTBOX_ALIGN ((size_t)64)

/* An empty one over size bytes, less than 2^48. */
void ppi_outbox_init(struct ppi_outbox *outbox, char *base, size_t size);

/* A block aligned to PPI_OUTBOX_ALIGN; NULL while there is no room. */
void *ppi_outbox_alloc(struct ppi_outbox *outbox, size_t size);

/* Gives back the end of the newest block: all but its first size bytes. */
void ppi_outbox_trim(struct ppi_outbox *outbox, const void *block, size_t size);

/* Where the next block would begin: given to ppi_outbox_release(), it frees all before. */
static inline uint64_t ppi_outbox_mark(const struct ppi_outbox *outbox)
{
    return outbox->end;
}

/* Frees all blocks that were allocated before this mark was taken. */
void ppi_outbox_release(struct ppi_outbox *outbox, uint64_t mark);

static inline bool ppi_outbox_empty(const struct ppi_outbox *outbox)
{
    return outbox->start == outbox->end;
}

bool ppi_outbox_valid(const struct ppi_outbox *outbox);

#endif
