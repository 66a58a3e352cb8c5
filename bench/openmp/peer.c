/* SPDX-License-Identifier: MIT */
/*
 * OpenMP tasks in a team of as many threads as others have workers; the caller is one of
 * them.  A single call is a parallel region, whose threads spin between two.
 */
#include "harness/peer.h"

#include <omp.h>

static int team;

static void start(int workers)
{
    team = workers;
}

static void stop(void)
{
}

static long square(long x)
{
    long value = -1;

#pragma omp parallel num_threads(team)
    if (omp_get_thread_num() == team - 1)
        value = bench_square(x);
    return value;
}

static void run(bench_range *range, long count, long chunk)
{
#pragma omp parallel num_threads(team)
#pragma omp single
    for (long i = 0; i < count; i += chunk) {
        long from = i, to = i + chunk < count ? i + chunk : count;

#pragma omp task firstprivate(from, to, range)
        range(from, to);
    }
}

const struct bench_peer bench_peer = {
    .always_spins = true,
    .global = true,
    .start = start,
    .stop = stop,
    .square = square,
    .run = run,
};
