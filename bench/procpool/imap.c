/* SPDX-License-Identifier: MIT */
/*
 * imap: squares of an endless input, one item per task, in order; imap_memory: what all
 * processes of the program take before and after ten million of these.
 */
#include "pool.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool naturals(void *item, void *user)
{
    *(long *)item = (*(long *)user)++;
    return true;
}

/* Reads so many squares; how long it took. */
static uint64_t read_ns(pp_iter *iter, long *from, size_t count)
{
    uint64_t begin_ns = bench_now_ns();

    for (size_t i = 0; i < count; i++, ++*from) {
        long value = -1;
        int error = pp_next(iter, &value);

        bench_check(error == 0 && value == *from * *from, "imap: wrong result");
    }
    return bench_now_ns() - begin_ns;
}

static void measure(size_t count, long chunk)
{
    uint64_t took_ns[5];
    pp_pool *pool = warm_pool();
    long next = 0, read = 0;
    pp_iter *iter =
        pp_imap(pool, bench_square, .input = naturals, .user = &next, .chunksize = chunk);

    bench_check(iter != NULL, "imap: no iterator");
    for (int i = 0; i < 5; i++)
        took_ns[i] = read_ns(iter, &read, count);
    pp_iter_free(iter);
    stop_pool(pool);
    bench_report_rate(count, took_ns, 5, "/s");
}

BENCH_WORKLOAD(imap)
{
    measure(bench_count(200000, scale), 1);
}

/* ---- Memory ---- */

static int parent_of(int pid)
{
    char path[64], line[512];
    const char *rest;
    int parent = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "r");
    if (!file)
        return 0;
    if (fgets(line, sizeof line, file)) {
        for (rest = line; *rest && *rest != ')'; rest++) /* none of our names has one */
            ;
        sscanf(rest, ") %*c %d", &parent);
    }
    fclose(file);
    return parent;
}

/* A process's share of memory, in bytes: what several have in common is divided. */
static double share_of(int pid)
{
    char path[64], line[256];
    double sum = 0, kilobytes;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    file = fopen(path, "r");
    bench_check(file != NULL, "imap_memory: cannot see a process");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Pss: %lf", &kilobytes) == 1)
            sum = kilobytes * 1024;
    fclose(file);
    return sum;
}

/* This process, its children and theirs: the supervisor and its workers. */
static double share_of_all(void)
{
    double sum = 0;
    int count = 0;
    DIR *dir = opendir("/proc");
    const struct dirent *entry;

    bench_check(dir != NULL, "imap_memory: no /proc");
    while ((entry = readdir(dir))) {
        int pid = atoi(entry->d_name), parent = pid > 0 ? parent_of(pid) : 0;

        if (pid > 0 &&
            (pid == getpid() || parent == getpid() || parent_of(parent) == getpid())) {
            sum += share_of(pid);
            count++;
        }
    }
    closedir(dir);
    bench_check(count == 2 + BENCH_WORKERS, "imap_memory: the wrong processes");
    return sum;
}

BENCH_WORKLOAD(imap_memory)
{
    size_t count = bench_count(10000000, scale);
    pp_pool *pool = warm_pool();
    long next = 0, read = 0;
    pp_iter *iter = pp_imap(pool, bench_square, .input = naturals, .user = &next);
    double before;

    bench_check(iter != NULL, "imap_memory: no iterator");
    read_ns(iter, &read, count / 100);
    before = share_of_all();
    read_ns(iter, &read, count - count / 100);
    bench_report("first", before, "B");
    bench_report("last", share_of_all(), "B");
    stop_pool(pool);
}
