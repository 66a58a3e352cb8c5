/* SPDX-License-Identifier: MIT */
#include "stock.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "killer.h"
#include "scene.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What is lost shows in the heap that is in use, which otherwise grows by some 2 KB for each of
   glibc's arenas; of what is resident glibc keeps up to 40 MB of stacks, and the ends of its
   arenas, as it happens. */
enum { WARM_UP = 8, MORE_RSS_KB = 128 * 1024, MORE_HEAP = 64 * 1024 };

static unsigned entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    MUST(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

static unsigned shared_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned count = 0;

    MUST(file);
    while (fgets(line, sizeof line, file))
        count += strchr(line, ' ') && strchr(line, ' ')[4] == 's';
    fclose(file);
    return count;
}

struct stock take_stock(void)
{
    pid_t list[MOST_CHILDREN];

    return (struct stock){
        .descriptors = entries("/proc/self/fd") - 1,
        .threads = entries("/proc/self/task"),
        .mappings = shared_mappings(),
        .children = children_of(getpid(), list, MOST_CHILDREN),
    };
}

/* A thread that has been joined may be in that list for a moment longer. */
void compare_stock(const struct stock *before)
{
    struct stock after = take_stock();

    for (double end = now() + 10; after.threads > before->threads && now() < end;) {
        pause_us(200);
        after = take_stock();
    }
    if (after.descriptors != before->descriptors || after.threads != before->threads ||
        after.mappings != before->mappings || after.children != before->children)
        WRONG("left behind: descriptors %u -> %u, threads %u -> %u, shared mappings %u -> %u, "
              "children %u -> %u",
              before->descriptors, after.descriptors, before->threads, after.threads,
              before->mappings, after.mappings, before->children, after.children);
}

static unsigned long rss_kb(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long size, resident = 0;

    MUST(file);
    MUST(fscanf(file, "%lu %lu", &size, &resident) == 2);
    fclose(file);
    return resident * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

/* Of each size of small blocks glibc keeps the first few that a thread frees for that thread,
   up to 240 KB, and counts them as in use.  Rounds would fill that cache bit by bit, which
   looks like a leak; so it is full whenever it is looked at. */
static void fill_cache(void)
{
    enum { SMALLEST = 24, LARGEST = 1032, STEP = 16, KEPT = 16 };
    void *blocks[KEPT];

    for (size_t size = SMALLEST; size <= LARGEST; size += STEP) {
        for (int i = 0; i < KEPT; i++) {
            blocks[i] = malloc(size);
            MUST(blocks[i]);
        }
        for (int i = 0; i < KEPT; i++)
            free(blocks[i]);
    }
}

void watch_memory(unsigned long rounds)
{
    struct totals *totals = &scene->totals;
    struct mallinfo2 info;

    if (SANITIZED)
        return;
    fill_cache();
    malloc_trim(0);
    info = mallinfo2();
    atomic_store(&totals->rss_kb, rss_kb());
    atomic_store(&totals->heap, info.uordblks + info.hblkhd);
    if (rounds <= WARM_UP) {
        if (totals->rss_kb > totals->rss_base_kb)
            totals->rss_base_kb = totals->rss_kb;
        if (totals->heap > totals->heap_base)
            totals->heap_base = totals->heap;
    } else if (totals->rss_kb > totals->rss_base_kb + MORE_RSS_KB ||
               totals->heap > totals->heap_base + MORE_HEAP) {
        WRONG("memory grows: RSS %lu -> %lu KB, heap %lu -> %lu bytes", totals->rss_base_kb,
              totals->rss_kb, totals->heap_base, totals->heap);
    }
}
