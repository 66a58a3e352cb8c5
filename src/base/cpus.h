/* SPDX-License-Identifier: MIT */
/*
 * The CPUs that this process may use: those of its affinity, and no more of them at a time
 * than the quotas of its cgroup and of those above it pay for.
 */
#ifndef PPI_BASE_CPUS_H
#define PPI_BASE_CPUS_H

#include <stddef.h>

/* How many there are to use; 1 at least. */
unsigned ppi_usable_cpus(void);

/*
 * The numbers of the CPUs that the calling thread may run on, in order: a block for free().
 * NULL if the system does not say, or without memory.
 */
unsigned *ppi_allowed_cpus(size_t *count);

/*
 * How many CPUs all quotas pay for at a time, rounded up; 0: there is none.  The files that
 * say so lie below root: that of the system is "".
 */
unsigned ppi_cpu_quota(const char *root);

/* Keeps the calling thread on one CPU from now on; 0 or -errno, and then all is as before. */
int ppi_pin_to_cpu(unsigned cpu);

#endif
