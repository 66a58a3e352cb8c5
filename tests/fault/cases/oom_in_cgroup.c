/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standard.h"

enum { LIMIT_MIB = 96, WANTED_MIB = 400, PATH_SIZE = 400 };

static char group[PATH_SIZE];

static bool write_to(const char *file, const char *text)
{
    char path[PATH_SIZE + 64];
    FILE *stream;
    bool written;

    snprintf(path, sizeof path, "%s/%s", group, file);
    stream = fopen(path, "we");
    if (!stream)
        return false;
    written = fputs(text, stream) >= 0;
    return fclose(stream) == 0 && written;
}

static bool limit_group(const char *file)
{
    char text[32];

    snprintf(text, sizeof text, "%u", LIMIT_MIB << 20);
    return write_to(file, text);
}

/* What follows these words in /proc/self/cgroup; false if there are none. */
static bool own_group(const char *controller, char *path, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_SIZE], *found = NULL;

    while (file && !found && fgets(line, sizeof line, file))
        if ((found = strstr(line, controller)))
            snprintf(path, size, "%s", found + strlen(controller));
    if (file)
        fclose(file);
    if (found)
        path[strcspn(path, "\n")] = '\0';
    return found;
}

static const struct {
    const char *controller, *root, *limit;
} ways[] = {
    { ":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes" },
    { "0::", "/sys/fs/cgroup", "memory.max" },
};

/* Named after the process that runs the case, which is the one to remove it if that fails. */
static bool name_group(int way, pid_t runner)
{
    char own[PATH_SIZE / 2];

    if (!own_group(ways[way].controller, own, sizeof own))
        return false;
    snprintf(group, sizeof group, "%s%s/procpool-case-%d", ways[way].root, own, runner);
    return true;
}

__attribute__((destructor)) static void remove_group(void)
{
    for (int i = 0; i < 2; i++)
        if (name_group(i, getpid()))
            rmdir(group);
}

/* A group of our own, of the first or second version of cgroups; false if we may not. */
static bool make_group(void)
{
    for (int i = 0; i < 2; i++) {
        if (!name_group(i, getppid()))
            continue;
        if (mkdir(group, 0755) == 0 && limit_group(ways[i].limit))
            return true;
        rmdir(group);
    }
    return false;
}

static int join_group(void *unused)
{
    char text[32];

    (void)unused;
    snprintf(text, sizeof text, "%d", getpid());
    return write_to("cgroup.procs", text) ? 0 : EACCES;
}

/* The kernel's is the last word on when it dies; this is the last that it says itself. */
static void fill_memory(void)
{
    for (int i = 0; i < WANTED_MIB; i++) {
        char *volatile memory = malloc(1 << 20);

        fault_now();
        memset(memory, 1, 1 << 20);
    }
}
PP_TASK(void, fill_memory);

CASE(oom_in_cgroup, .python = "c21_cgroup_oom", .limit = 30,
     .title = "workers in a memory cgroup of 96 MiB, and a task that fills 400 MiB",
     .must = "the task is an error, nothing else is")
{
    pp_pool *pool;

    if (HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("they need more memory than the group has");
    if (!make_group())
        SKIP("no memory cgroup can be set up here");
    pool = pp_pool_new(.processes = 2, .initializer = join_group);
    if (!pool) {
        rmdir(group);
        SKIP("workers cannot be put into a cgroup here");
    }
    STANDARD(.pool = pool, .victim = PP_CALL(fill_memory).call,
             .must = { .error = PP_ECRASHED, .signal = SIGKILL });
    CHECK_EQ(rmdir(group), 0);
}
