/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what the benchmark's C peers share: the clock, the work that all of
 * them do, checking, reporting, and a main() that runs one workload.
 *
 * A peer is a program made of harness.c and one file per workload.  It is called
 * with "list", and prints the names of its workloads, or with WORKLOAD SCALE,
 * and prints what it measured as lines "metric value unit".  A wrong result ends
 * it with a message and status 1.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number of workers of every pool that is measured. */
#define BENCH_WORKERS 2

/* Calls before the first that counts: until caches, pages and the pool are warm. */
#define BENCH_WARM_UP 200

/* BENCH_WORKLOAD(name) { ... } defines a workload and adds it to the program.
   The body sees the parameter double scale, for bench_count(). */
#define BENCH_WORKLOAD(name)                                                                  \
    static void name(double scale);                                                           \
    __attribute__((constructor)) static void name##_add(void)                                 \
    {                                                                                         \
        bench_add(#name, name);                                                               \
    }                                                                                         \
    static void name(double scale)

void bench_add(const char *name, void (*run)(double scale));

/* How many of something to do: full at scale 1, and never none. */
size_t bench_count(size_t full, double scale);

/* Times are in nanoseconds of the monotonic clock. */
uint64_t bench_now_ns(void);

/* The value below which this fraction of the samples lies; sorts them. */
uint64_t bench_percentile(uint64_t *samples, size_t count, double fraction);

/* Prints a result.  Units are without prefix: "s", "/s", "B/s", "x". */
void bench_report(const char *metric, double value, const char *unit);
void bench_report_median_s(const char *metric, uint64_t *samples_ns, size_t count);
void bench_report_rate(size_t amount, uint64_t *samples_ns, size_t count, const char *unit);

/* Ends the program with status 1 unless all is right. */
void bench_check(bool right, const char *what);

/* Memory that is there and touched, so that no page fault is measured. */
void *bench_alloc(size_t size);

/* The work: a trivial task, and one that takes ns of CPU time, also when it is
   preempted.  Returns ns. */
long bench_square(long x);
long bench_burn(long ns);

/* Fills items with 0, 1, 2 ...; says whether values are their squares and, when
   they are, forgets them. */
void bench_items(long *items, size_t count);
bool bench_squares_are_right(long *values, size_t count);

/* A fixed list of exponentially distributed task lengths of 1 ms on average. */
void bench_durations(long *ns, size_t count);

/* Elapsed time over the time that the workers would need if none ever waited. */
double bench_over_ideal(uint64_t elapsed_ns, const long *durations_ns, size_t count);

#endif
