/* SPDX-License-Identifier: MIT */
/* Numbers that nobody can foretell, and such as are different for sure. */
#ifndef PPI_BASE_RANDOM_H
#define PPI_BASE_RANDOM_H

#include <stdint.h>

/* 64 bits from the kernel; where it has none to give yet, from what differs anyway. */
uint64_t ppi_random(void);

/*
 * A seed for the worker that is number life of those with this id: in a pool, of one seed,
 * no two are the same.
 */
uint64_t ppi_worker_seed(uint64_t pool_seed, uint32_t id, uint32_t life);

#endif
