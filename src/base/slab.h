/* SPDX-License-Identifier: MIT */
/*
 * Memory for many objects of one size.  What is freed is used again first, and lies
 * together; blocks that are empty stay up to a limit, so that a program that makes and
 * frees a hundred thousand objects again and again does not fault their pages in again
 * and again.
 */
#ifndef PPI_BASE_SLAB_H
#define PPI_BASE_SLAB_H

#include <stddef.h>

struct ppi_slab_block;

struct ppi_slab {
    size_t size;                    /* of an object */
    struct ppi_slab_block *roomy;   /* blocks that have room, in a list */
    size_t empty;                   /* of them, those without an object */
};

/* For objects of this size; nothing is allocated yet. */
void ppi_slab_init(struct ppi_slab *slab, size_t size);

/* Frees the empty blocks: all objects have been freed. */
void ppi_slab_destroy(struct ppi_slab *slab);

/* An object of zeros, aligned to 16 bytes, or NULL. */
void *ppi_slab_alloc(struct ppi_slab *slab);

/* Does nothing for NULL. */
void ppi_slab_free(struct ppi_slab *slab, void *object);

#endif
