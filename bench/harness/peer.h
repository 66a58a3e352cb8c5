/* SPDX-License-Identifier: MIT */
/*
 * peer.h - what a peer in C provides, so that the workloads in common/ can be run on it.
 *
 * A peer is one file that defines bench_peer.  What it cannot do is NULL, and the workloads
 * that need it are not listed.
 */
#ifndef BENCH_HARNESS_PEER_H
#define BENCH_HARNESS_PEER_H

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Works on the items from .. to - 1 of bench_in and bench_out. */
typedef void bench_range(long from, long to);

struct bench_peer {
    bool processes;    /* the workers are processes: what they see was there at the start */
    bool always_spins; /* it never sleeps at once between calls */
    bool global;       /* there is one pool in each process, which never ends */
    void (*start)(int workers);
    void (*stop)(void);
    long (*square)(long x); /* one call, by a worker */
    void (*run)(bench_range *range, long count, long chunk); /* all, in tasks of a chunk each */
    long (*unordered)(long count); /* squares of 0 .. count - 1 as they come: their sum */
    void (*echo)(const void *from, void *to, size_t size); /* a worker copies */
    void (*spin)(void); /* from now on both sides spin before they sleep */
};

extern const struct bench_peer bench_peer;

/* What the ranges work on: shared memory, made by bench_arrays() before the start. */
extern long *bench_in, *bench_out;
void bench_arrays(size_t count);
void bench_free_arrays(size_t count);

void bench_square_range(long from, long to);

/* A pool whose workers have worked. */
void bench_start_warm(void);

#ifdef __cplusplus
}
#endif

#endif
