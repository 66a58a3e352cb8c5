/* SPDX-License-Identifier: MIT */
/* See bench.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MAX_WORKLOADS 64

static struct workload {
    const char *name;
    void (*run)(double scale);
} workloads[MAX_WORKLOADS];
static size_t workload_count;

void bench_add(const char *name, void (*run)(double scale))
{
    if (workload_count == MAX_WORKLOADS)
        abort();
    workloads[workload_count++] = (struct workload){ name, run };
}

size_t bench_count(size_t full, double scale)
{
    double count = (double)full * scale;

    return count < 1 ? 1 : (size_t)count;
}

/* ---- Clock and statistics ---------------------------------------------- */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t bench_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static int compare_samples(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

uint64_t bench_percentile(uint64_t *samples, size_t count, double fraction)
{
    qsort(samples, count, sizeof *samples, compare_samples);
    return samples[(size_t)(fraction * (double)(count - 1) + 0.5)];
}

void bench_report(const char *metric, double value, const char *unit)
{
    printf("%s %.6g %s\n", metric, value, unit);
}

void bench_report_median_s(const char *metric, uint64_t *samples_ns, size_t count)
{
    bench_report(metric, (double)bench_percentile(samples_ns, count, 0.5) / 1e9, "s");
}

void bench_report_rate(size_t amount, uint64_t *samples_ns, size_t count, const char *unit)
{
    uint64_t median_ns = bench_percentile(samples_ns, count, 0.5);

    bench_report("rate", (double)amount * 1e9 / (double)median_ns, unit);
}

void bench_report_latency(uint64_t *samples_ns, size_t count)
{
    bench_report_median_s("median", samples_ns, count);
    bench_report("p99", (double)bench_percentile(samples_ns, count, 0.99) / 1e9, "s");
}

void bench_check(bool right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

/* ---- The work ---------------------------------------------------------- */

void *bench_alloc(size_t size)
{
    void *memory = malloc(size);

    bench_check(memory != NULL, "out of memory");
    memset(memory, 1, size);
    return memory;
}

void *bench_shared(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    bench_check(memory != MAP_FAILED, "out of shared memory");
    memset(memory, 0, size);
    return memory;
}

void bench_unshare(void *memory, size_t size)
{
    munmap(memory, size);
}

long bench_call_square(long x)
{
    return bench_square(x);
}

long bench_burn(long ns)
{
    uint64_t end_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)ns;

    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end_ns)
        ;
    return ns;
}

long bench_grind(long x)
{
    uint64_t value = (uint64_t)x;

    for (int i = 0; i < 2000; i++)
        value = value * 6364136223846793005u + 1442695040888963407u;
    return (long)value;
}

void bench_items(long *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        items[i] = (long)i;
}

bool bench_squares_are_right(long *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] != (long)i * (long)i)
            return false;
    memset(values, 0xff, count * sizeof *values);
    return true;
}

/* splitmix64: a few lines in any language give every peer the same list. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void bench_durations(long *ns, size_t count)
{
    uint64_t state = 12345;

    for (size_t i = 0; i < count; i++) {
        double uniform = ((double)(next_random(&state) >> 11) + 1) / 0x1p53; /* in (0, 1] */

        ns[i] = (long)(-log(uniform) * 1e6);
    }
}

double bench_over_ideal(uint64_t elapsed_ns, const long *durations_ns, size_t count)
{
    int lanes = bench_cpus() < BENCH_WORKERS ? bench_cpus() : BENCH_WORKERS;
    double total_ns = 0;

    for (size_t i = 0; i < count; i++)
        total_ns += (double)durations_ns[i];
    return (double)elapsed_ns * lanes / total_ns;
}

/* ---- The program ------------------------------------------------------- */

static int list(void)
{
    for (size_t i = 0; i < workload_count; i++)
        puts(workloads[i].name);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list();

    double scale = argc == 3 ? strtod(argv[2], NULL) : 0;

    for (size_t i = 0; scale > 0 && i < workload_count; i++)
        if (strcmp(argv[1], workloads[i].name) == 0) {
            workloads[i].run(scale);
            return 0;
        }
    fprintf(stderr, "usage: %s list | WORKLOAD SCALE\n", program_invocation_short_name);
    return 2;
}
