/* SPDX-License-Identifier: MIT */
/* The part of bench.h that is about processes: what they are, take and do. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "bench.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ON_MACHINE = 32768 };

struct process {
    pid_t pid, parent;
};

static void nap(double seconds)
{
    time_t whole = (time_t)seconds;
    struct timespec time = { whole, (long)((seconds - (double)whole) * 1e9) };

    nanosleep(&time, NULL);
}

int bench_cpus(void)
{
    cpu_set_t may;

    bench_check(sched_getaffinity(0, sizeof may, &may) == 0, "cannot ask for the CPUs");
    return CPU_COUNT(&may);
}

/* 0: this process.  The CPUs that it may use are counted from 0, and again from the first. */
static void keep_to_cpu(pid_t pid, const cpu_set_t *may, int number)
{
    cpu_set_t one;
    size_t cpu = 0;

    number %= CPU_COUNT(may);
    while (!CPU_ISSET(cpu, may) || number-- > 0)
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    bench_check(sched_setaffinity(pid, sizeof one, &one) == 0, "cannot keep to one CPU");
}

void bench_use_one_cpu(void)
{
    cpu_set_t may;

    bench_check(sched_getaffinity(0, sizeof may, &may) == 0, "cannot ask for the CPUs");
    keep_to_cpu(0, &may, 0);
}

void bench_part_from_worker(void)
{
    pid_t pids[BENCH_MAX_PROCESSES];
    cpu_set_t may;

    bench_check(sched_getaffinity(0, sizeof may, &may) == 0, "cannot ask for the CPUs");
    bench_check(bench_leaves(pids) == 1, "there is not one worker");
    keep_to_cpu(0, &may, 0);
    keep_to_cpu(pids[0], &may, 1);
}

pid_t bench_fork(void)
{
    pid_t parent = getpid();
    pid_t child = fork();

    bench_check(child >= 0, "cannot fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return child;
}

void bench_end_child(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* ---- Who is whose child ------------------------------------------------ */

/* The fields of /proc/PID/stat after the name: state, parent ... */
static bool read_stat(pid_t pid, char *line, int size, const char **fields)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (!file)
        return false;

    bool read = fgets(line, size, file) && (*fields = strrchr(line, ')'));

    fclose(file);
    return read;
}

static size_t read_all(struct process *all)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    size_t count = 0;

    bench_check(dir != NULL, "there is no /proc");
    while ((entry = readdir(dir)) && count < MAX_ON_MACHINE) {
        pid_t pid = atoi(entry->d_name);
        char line[512], state;
        const char *fields;
        int parent;

        if (pid > 0 && read_stat(pid, line, sizeof line, &fields) &&
            sscanf(fields, ") %c %d", &state, &parent) == 2 && state != 'Z')
            all[count++] = (struct process){ pid, parent };
    }
    closedir(dir);
    return count;
}

static bool is_parent(const struct process *all, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].parent == pid)
            return true;
    return false;
}

/* pids grows while it is searched: children, then theirs. */
static size_t descend(const struct process *all, size_t count, pid_t *pids)
{
    size_t found = 0;

    for (size_t next = 0; next <= found; next++) {
        pid_t parent = next == 0 ? getpid() : pids[next - 1];

        for (size_t i = 0; i < count && found < BENCH_MAX_PROCESSES; i++)
            if (all[i].parent == parent)
                pids[found++] = all[i].pid;
    }
    return found;
}

size_t bench_descendants(pid_t *pids)
{
    struct process *all = bench_alloc(MAX_ON_MACHINE * sizeof *all);
    size_t found = descend(all, read_all(all), pids);

    free(all);
    return found;
}

size_t bench_leaves(pid_t *pids)
{
    struct process *all = bench_alloc(MAX_ON_MACHINE * sizeof *all);
    size_t count = read_all(all), found = descend(all, count, pids), leaves = 0;

    for (size_t i = 0; i < found; i++)
        if (!is_parent(all, count, pids[i]))
            pids[leaves++] = pids[i];
    free(all);
    return leaves;
}

/* ---- What they take ---------------------------------------------------- */

double bench_memory_of(pid_t pid)
{
    char path[64], line[256];
    double sum = 0, kilobytes;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    file = fopen(path, "r");
    bench_check(file != NULL, "cannot see a process's memory");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Pss: %lf", &kilobytes) == 1)
            sum = kilobytes * 1024;
    fclose(file);
    return sum;
}

double bench_memory_of_all(void)
{
    pid_t pids[BENCH_MAX_PROCESSES];
    size_t count = bench_descendants(pids);
    double sum = bench_memory_of(getpid());

    for (size_t i = 0; i < count; i++)
        sum += bench_memory_of(pids[i]);
    return sum;
}

void bench_report_workers_memory(const char *metric, size_t workers)
{
    pid_t pids[BENCH_MAX_PROCESSES];
    double sum = 0;

    nap(0.02);

    size_t count = bench_leaves(pids);

    bench_check(count == workers, "memory: not as many workers as there should be");
    for (size_t i = 0; i < count; i++)
        sum += bench_memory_of(pids[i]);
    bench_report(metric, sum / (double)workers, "B");
}

/* ---- What they do ------------------------------------------------------ */

struct use {
    long ticks, switches;
};

static long switches_of(pid_t pid)
{
    char path[64], line[256];
    long sum = 0, number;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    bench_check(file != NULL, "idle: a process is gone");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &number) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %ld", &number) == 1)
            sum += number;
    fclose(file);
    return sum;
}

static struct use use_of(const pid_t *pids, size_t count)
{
    struct use use = { 0, 0 };

    for (size_t i = 0; i < count; i++) {
        char line[512];
        const char *fields;
        long user = 0, system = 0;

        bench_check(read_stat(pids[i], line, sizeof line, &fields) &&
                        sscanf(fields,
                               ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user,
                               &system) == 2,
                    "idle: a process is gone");
        use.ticks += user + system;
        use.switches += switches_of(pids[i]);
    }
    return use;
}

void bench_report_idleness(double scale)
{
    pid_t pids[BENCH_MAX_PROCESSES];

    nap(0.3);

    size_t count = bench_descendants(pids);
    struct use before = use_of(pids, count);

    bench_check(count > 0, "idle: there are no processes");
    nap(5 * scale);

    struct use after = use_of(pids, count);

    bench_report("ticks", (double)(after.ticks - before.ticks), "n");
    bench_report("switches", (double)(after.switches - before.switches), "n");
}
