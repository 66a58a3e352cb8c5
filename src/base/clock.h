/* SPDX-License-Identifier: MIT */
/* Times and deadlines: nanoseconds of CLOCK_MONOTONIC. */
#ifndef PPI_BASE_CLOCK_H
#define PPI_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define PPI_NEVER UINT64_MAX
#define PPI_MS UINT64_C(1000000)
#define PPI_SECOND UINT64_C(1000000000)

static inline uint64_t ppi_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * PPI_SECOND + (uint64_t)now.tv_nsec;
}

/* The same at the kernel's last tick, some milliseconds ago: costs next to nothing. */
static inline uint64_t ppi_coarse_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * PPI_SECOND + (uint64_t)now.tv_nsec;
}

/* What this thread has used of a CPU. */
static inline uint64_t ppi_used_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * PPI_SECOND + (uint64_t)used.tv_nsec;
}

static inline struct timespec ppi_timespec(uint64_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)(ns / PPI_SECOND),
                              .tv_nsec = (long)(ns % PPI_SECOND) };
}

/* The deadline that lies timeout_s seconds from now; not for NaN. */
static inline uint64_t ppi_deadline_ns(double timeout_s)
{
    if (timeout_s <= 0)
        return 0; /* long past: do not wait, do not even look at the clock */
    if (timeout_s > 1e9)
        return PPI_NEVER;
    return ppi_now_ns() + (uint64_t)(timeout_s * 1e9);
}

#endif
