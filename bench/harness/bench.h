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
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The number of workers of every pool that is measured. */
#define BENCH_WORKERS 2

/* Calls before the first that counts: until caches, pages and the pool are warm. */
#define BENCH_WARM_UP 200

/* The same with large payloads: enough for every worker to have had one, most likely. */
#define BENCH_ECHO_WARM_UP 5

/* BENCH_WORKLOAD(name) { ... } defines a workload and adds it to the program.
   The body sees the parameter double scale, for bench_count().  BENCH_WORKLOAD_IF()
   does so only where the program can do it. */
#define BENCH_WORKLOAD(name) BENCH_WORKLOAD_IF(name, true)
#define BENCH_WORKLOAD_IF(name, can)                                                          \
    static void name(double scale);                                                           \
    __attribute__((constructor)) static void name##_add(void)                                 \
    {                                                                                         \
        if (can)                                                                              \
            bench_add(#name, name);                                                           \
    }                                                                                         \
    static void name(double scale)

void bench_add(const char *name, void (*run)(double scale));

/* How many of something to do: full at scale 1, and never none. */
size_t bench_count(size_t full, double scale);

/* Times are in nanoseconds of the monotonic clock. */
uint64_t bench_now_ns(void);

/* The value below which this fraction of the samples lies; sorts them. */
uint64_t bench_percentile(uint64_t *samples, size_t count, double fraction);

/* Prints a result.  Units are without prefix: "s", "/s", "B", "B/s", "n" for a number, "x" for
   a ratio that is better when lower and "fold" for one that is better when higher. */
void bench_report(const char *metric, double value, const char *unit);
void bench_report_median_s(const char *metric, uint64_t *samples_ns, size_t count);
void bench_report_rate(size_t amount, uint64_t *samples_ns, size_t count, const char *unit);

/* Median and 99th percentile of single calls. */
void bench_report_latency(uint64_t *samples_ns, size_t count);

/* Ends the program with status 1 unless all is right. */
void bench_check(bool right, const char *what);

/* Memory that is there and touched, so that no page fault is measured; the second
   kind has the same in children. */
void *bench_alloc(size_t size);
void *bench_shared(size_t size);
void bench_unshare(void *memory, size_t size);

/* ---- The work ---- */

/* A trivial task. */
static inline long bench_square(long x)
{
    return x * x;
}

/* The same as a call that no compiler sees through: what peers that are given a range of
   items do for each, as pools do that are given a function of one item. */
long bench_call_square(long x);

/* Takes ns of CPU time, also when it is preempted.  Returns ns. */
long bench_burn(long ns);

/* Multiplies that wait for each other, some microseconds: a pure function of x. */
long bench_grind(long x);

/* Fills items with 0, 1, 2 ...; says whether values are their squares and, when
   they are, forgets them. */
void bench_items(long *items, size_t count);
bool bench_squares_are_right(long *values, size_t count);

/* A fixed list of exponentially distributed task lengths of 1 ms on average. */
void bench_durations(long *ns, size_t count);

/* Elapsed time over the time that the workers would need if none ever waited. */
double bench_over_ideal(uint64_t elapsed_ns, const long *durations_ns, size_t count);

/* ---- Processes ---- */

/* How many CPUs this process may use. */
int bench_cpus(void);

/* From now on this process and its children use one CPU. */
void bench_use_one_cpu(void);

/* From now on this process uses one CPU, and its only worker another, if there is one. */
void bench_part_from_worker(void);

/* A child that does not outlive its parent; never fails. */
pid_t bench_fork(void);
void bench_end_child(pid_t child);

/* The processes under this one, all or only those that have no children themselves: in all
   pools the workers.  Returns how many. */
#define BENCH_MAX_PROCESSES 1024
size_t bench_descendants(pid_t *pids);
size_t bench_leaves(pid_t *pids);

/* A process's share of memory, in bytes: what several have in common is divided. */
double bench_memory_of(pid_t pid);
double bench_memory_of_all(void);

/* Reports the mean memory of the workers that are there. */
void bench_report_workers_memory(const char *metric, size_t workers);

/* Reports what the processes under this one do in 5 s times scale: nothing is hoped for. */
void bench_report_idleness(double scale);

#ifdef __cplusplus
}
#endif

#endif
