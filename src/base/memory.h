/* SPDX-License-Identifier: MIT */
/* Memory by the page and by the block. */
#ifndef PPI_BASE_MEMORY_H
#define PPI_BASE_MEMORY_H

#include <stddef.h>

/* What the kernel can give at once, where it is asked to. */
#define PPI_HUGE_PAGE ((size_t)2 << 20)

/* From this size on there is a huge page in a block, wherever it lies. */
#define PPI_LARGE (2 * PPI_HUGE_PAGE)

/*
 * Asks for huge pages where they fit in between, for a block that is going to be filled.
 * Smaller ones will do: what the kernel says does not matter.
 */
void ppi_prefer_huge_pages(void *block, size_t size);

/*
 * malloc() for what the program is handed, to be freed by free(), and which may be large
 * and is going to be filled.  Not NULL for a size of 0.
 */
void *ppi_malloc(size_t size);

#endif
