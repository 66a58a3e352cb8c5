/* SPDX-License-Identifier: MIT */
/* Memory that is handed to the program, for free(). */
#ifndef PPI_BASE_MEMORY_H
#define PPI_BASE_MEMORY_H

#include <stddef.h>

/* What the kernel can give at once, where it is asked to. */
#define PPI_HUGE_PAGE ((size_t)2 << 20)

/* malloc() for what may be large and is going to be filled; never NULL for a size of 0. */
void *ppi_malloc(size_t size);

#endif
