/* SPDX-License-Identifier: MIT */
/*
 * curve.h - what the programs of the curves share.  A curve is a BENCH_WORKLOAD that reports
 * points: what something costs where something else grows.  With a scale below 1 it leaves out
 * what takes longest and measures for a shorter time.
 */
#ifndef BENCH_GROWTH_CURVE_H
#define BENCH_GROWTH_CURVE_H

#include <procpool.h>

#include "harness/bench.h"

PP_TASK(long, bench_square, long, x);

/* Prints a point of a series, whose name has no spaces. */
void curve_point(const char *series, double x, double y);

/* Calls once_ns() again and again for so long, at least twice after one that does not count,
   and returns the median in seconds of what it returned in nanoseconds. */
double curve_median_s(uint64_t (*once_ns)(void *data), void *data, double seconds);

pp_pool *curve_pool(int workers);
void curve_stop(pp_pool *pool);

/* Shared memory of the pool's; never NULL. */
void *curve_shared(pp_pool *pool, size_t size);

/* Private memory in ordinary pages, all of them there. */
void *curve_grow(size_t size);

#endif
