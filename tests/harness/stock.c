/* SPDX-License-Identifier: MIT */
/* What a process holds, read from /proc: descriptors, mappings, threads, children. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

enum { TARGET_SIZE = 120 };

struct descriptor {
    int number;
    char target[TARGET_SIZE]; /* what the link in /proc/self/fd says */
};

struct mapping {
    uintptr_t begin;
    uintptr_t end;
    char name[TARGET_SIZE];
};

struct harness_holdings {
    struct descriptor *descriptors; /* in ascending order of their numbers */
    size_t descriptor_count;
    struct mapping *mappings; /* shared ones and those of memfds */
    size_t mapping_count;
    size_t mapped;
    size_t threads;
};

void harness_append(char *text, size_t size, const char *format, ...)
{
    size_t length = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + length, size - length, format, args);
    va_end(args);
}

char *harness_read(const char *path)
{
    size_t size = 0, room = 4096;
    char *text = malloc(room);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;

    while (text && fd >= 0 && (got = read(fd, text + size, room - size - 1)) > 0) {
        size += (size_t)got;
        if (room - size < 1024) {
            char *bigger = realloc(text, room *= 2);

            if (!bigger)
                abort();
            text = bigger;
        }
    }
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

/* Room for one more element behind count of them. */
static void *grow(void *array, size_t count, size_t element)
{
    if (count & (count - 1))
        return array;
    array = realloc(array, (count ? 2 * count : 1) * element);
    if (!array)
        abort();
    return array;
}

/* The debugger's channel of valgrind, which each of its processes opens when it likes. */
static bool is_foreign(const char *name)
{
    return strstr(name, "vgdb-pipe") != NULL;
}

/* Calls visit with each entry of a directory whose name is a number. */
static void each_number(const char *path, void (*visit)(long, void *), void *user)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    long own;

    if (!dir)
        return;
    own = dirfd(dir);
    while ((entry = readdir(dir)))
        if (isdigit((unsigned char)*entry->d_name)) {
            long number = strtol(entry->d_name, NULL, 10);

            if (number != own || strcmp(path, "/proc/self/fd") != 0)
                visit(number, user);
        }
    closedir(dir);
}

static int by_number(const void *a, const void *b)
{
    const struct descriptor *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static void add_descriptor(long number, void *user)
{
    struct harness_holdings *holdings = user;
    struct descriptor descriptor = { .number = (int)number };
    char path[64];
    ssize_t length;

    snprintf(path, sizeof path, "/proc/self/fd/%ld", number);
    length = readlink(path, descriptor.target, sizeof descriptor.target - 1);
    if (length < 0 || is_foreign(descriptor.target))
        return;
    holdings->descriptors = grow(holdings->descriptors, holdings->descriptor_count,
                                 sizeof *holdings->descriptors);
    holdings->descriptors[holdings->descriptor_count++] = descriptor;
}

static void count_one(long number, void *user)
{
    (void)number;
    ++*(size_t *)user;
}

static void add_mapping(struct harness_holdings *holdings, const char *line)
{
    struct mapping mapping = { 0 };
    char access[8] = "";
    int name = 0;

    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s %*s %*s %*s %n", &mapping.begin,
               &mapping.end, access, &name) < 3)
        return;
    snprintf(mapping.name, sizeof mapping.name, "%s", name ? line + name : "");
    if ((access[3] != 's' && strncmp(mapping.name, "/memfd:", 7) != 0) ||
        is_foreign(mapping.name))
        return;
    holdings->mappings =
        grow(holdings->mappings, holdings->mapping_count, sizeof *holdings->mappings);
    holdings->mappings[holdings->mapping_count++] = mapping;
    holdings->mapped += mapping.end - mapping.begin;
}

static void add_mappings(struct harness_holdings *holdings)
{
    char *text = harness_read("/proc/self/maps"), *rest = text, *line;

    while (rest && (line = strsep(&rest, "\n")))
        add_mapping(holdings, line);
    free(text);
}

struct harness_holdings *harness_take_stock(void)
{
    struct harness_holdings *holdings = calloc(1, sizeof *holdings);

    if (!holdings)
        abort();
    each_number("/proc/self/fd", add_descriptor, holdings);
    if (holdings->descriptor_count)
        qsort(holdings->descriptors, holdings->descriptor_count,
              sizeof *holdings->descriptors, by_number);
    each_number("/proc/self/task", count_one, &holdings->threads);
    add_mappings(holdings);
    return holdings;
}

void harness_holdings_free(struct harness_holdings *holdings)
{
    free(holdings->descriptors);
    free(holdings->mappings);
    free(holdings);
}

static void compare_descriptors(const struct harness_holdings *before,
                                const struct harness_holdings *now, char *why, size_t size)
{
    size_t i = 0, j = 0;

    while (i < before->descriptor_count || j < now->descriptor_count) {
        const struct descriptor *was = &before->descriptors[i], *is = &now->descriptors[j];

        if (i == before->descriptor_count ||
            (j < now->descriptor_count && is->number < was->number)) {
            harness_append(why, size, "leaked descriptor %d (%s); ", is->number, is->target);
            j++;
        } else if (j == now->descriptor_count || was->number < is->number) {
            harness_append(why, size, "closed descriptor %d (%s); ", was->number,
                           was->target);
            i++;
        } else {
            if (strcmp(was->target, is->target) != 0)
                harness_append(why, size, "leaked descriptor %d (%s, was %s); ",
                               is->number, is->target, was->target);
            i++, j++;
        }
    }
}

static bool has_mapping(const struct harness_holdings *holdings, const struct mapping *wanted)
{
    for (size_t i = 0; i < holdings->mapping_count; i++) {
        const struct mapping *mapping = &holdings->mappings[i];

        if (mapping->begin == wanted->begin && mapping->end == wanted->end)
            return true;
    }
    return false;
}

static void compare_mappings(const struct harness_holdings *before,
                             const struct harness_holdings *now, char *why, size_t size)
{
    if (now->mapping_count == before->mapping_count && now->mapped == before->mapped)
        return;
    harness_append(why, size, "leaked mapping: %zu of %zu bytes, were %zu of %zu bytes",
                   now->mapping_count, now->mapped, before->mapping_count, before->mapped);
    for (size_t i = 0; i < now->mapping_count; i++)
        if (!has_mapping(before, &now->mappings[i]))
            harness_append(why, size, ", %s", now->mappings[i].name);
    harness_append(why, size, "; ");
}

bool harness_compare(const struct harness_holdings *before, char *why, size_t size)
{
    struct harness_holdings *now = harness_take_stock();

    *why = '\0';
    compare_descriptors(before, now, why, size);
    compare_mappings(before, now, why, size);
    if (now->threads != before->threads)
        harness_append(why, size, "leaked thread: %zu threads, were %zu; ", now->threads,
                       before->threads);
    harness_holdings_free(now);
    return *why;
}

/* ---- Processes ----------------------------------------------------------- */

struct table {
    struct harness_process *list;
    size_t count;
};

static void add_process(long pid, void *user)
{
    struct table *table = user;
    struct harness_process process = { .pid = (pid_t)pid };
    char path[64], *text, *name, *rest;
    size_t length;

    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    text = harness_read(path);
    name = text ? strchr(text, '(') : NULL;
    rest = text ? strrchr(text, ')') : NULL;
    if (name && rest && sscanf(rest + 1, " %c %d", &process.state, &process.parent) == 2) {
        length = (size_t)(rest - name - 1);
        if (length >= sizeof process.name)
            length = sizeof process.name - 1;
        memcpy(process.name, name + 1, length);
        table->list = grow(table->list, table->count, sizeof *table->list);
        table->list[table->count++] = process;
    }
    free(text);
}

static bool descends(const struct table *table, const struct harness_process *process,
                     pid_t ancestor)
{
    pid_t parent = process->parent;

    for (size_t depth = 0; parent > 0 && depth <= table->count; depth++) {
        if (parent == ancestor)
            return true;
        for (size_t i = 0; i <= table->count; i++) {
            if (i == table->count)
                return false;
            if (table->list[i].pid == parent) {
                parent = table->list[i].parent;
                break;
            }
        }
    }
    return false;
}

size_t harness_descendants(pid_t ancestor, struct harness_process *list, size_t max)
{
    struct table table = { 0 };
    size_t count = 0;

    each_number("/proc", add_process, &table);
    for (size_t i = 0; i < table.count; i++)
        if (descends(&table, &table.list[i], ancestor)) {
            if (count < max)
                list[count] = table.list[i];
            count++;
        }
    free(table.list);
    return count;
}

size_t harness_others(struct harness_process *list, size_t max)
{
    struct harness_process all[2048];
    size_t count = harness_descendants(harness_runner, all, 2048), others = 0;

    for (size_t i = 0; i < count && i < 2048; i++)
        if (all[i].pid != harness_self) {
            if (others < max)
                list[others] = all[i];
            others++;
        }
    return others;
}

/* A process whose parent dies during the look at /proc may be missed: a second
   look finds it with its new parent.  Zombies of the runner are about to go. */
bool harness_processes_left(char *why, size_t size)
{
    struct harness_process list[64];

    *why = '\0';
    for (int look = 0; look < 2 && !*why; look++) {
        size_t count = harness_others(list, 64);

        for (size_t i = 0; i < count && i < 64; i++)
            if (list[i].state != 'Z' || list[i].parent != harness_runner)
                harness_append(why, size, "leaked %s %d (%s); ",
                               list[i].state == 'Z' ? "zombie" : "process", list[i].pid,
                               list[i].name);
    }
    return *why;
}
