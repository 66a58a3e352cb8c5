/* SPDX-License-Identifier: MIT */
/*
 * What the library holds of the client's memory: an entry for each block and for each range
 * that it has mapped.  By open addressing without removal, as a run is short.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

#include "engine.h"

enum { BLOCKS = 1 << 16, RANGES = 256 };

static struct block {
    void *at; /* NULL: never used */
    bool held;
    const void *site;
} blocks[BLOCKS];

static struct range {
    uintptr_t begin, end; /* equal: free */
    const void *site;
    bool excused;
} ranges[RANGES];

static bool overflown;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

extern const char __executable_start[];

/* ---- Blocks ---- */

static struct block *place_of(const void *at)
{
    size_t start = (uintptr_t)at * UINT64_C(0x9e3779b97f4a7c15) >> 32;

    for (size_t i = 0; i < BLOCKS; i++) {
        struct block *block = &blocks[(start + i) % BLOCKS];

        if (!block->at || block->at == at)
            return block;
    }
    return NULL;
}

void memory_took(void *at, const void *site)
{
    struct block *block;

    if (!at || !engine_is_client())
        return;
    pthread_mutex_lock(&lock);
    block = place_of(at);
    if (block)
        *block = (struct block){ at, true, site };
    else
        overflown = true;
    pthread_mutex_unlock(&lock);
}

void memory_gave(void *at)
{
    struct block *block;

    if (!at || !engine_is_client())
        return;
    pthread_mutex_lock(&lock);
    block = place_of(at);
    if (block && block->at)
        block->held = false;
    pthread_mutex_unlock(&lock);
}

/* ---- Ranges ---- */

static void add(uintptr_t begin, uintptr_t end, const void *site)
{
    if (begin == end)
        return;
    for (size_t i = 0; i < RANGES; i++)
        if (ranges[i].begin == ranges[i].end) {
            ranges[i] = (struct range){ begin, end, site, false };
            return;
        }
    overflown = true;
}

void memory_mapped(void *begin, size_t size, const void *site)
{
    if (!engine_is_client())
        return;
    pthread_mutex_lock(&lock);
    add((uintptr_t)begin, (uintptr_t)begin + size, site);
    pthread_mutex_unlock(&lock);
}

void memory_unmapped(void *at, size_t size)
{
    uintptr_t begin = (uintptr_t)at, end = begin + ((size + 4095) & ~(size_t)4095);

    if (!engine_is_client())
        return;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < RANGES; i++) {
        struct range range = ranges[i];

        if (range.begin >= end || range.end <= begin)
            continue;
        ranges[i].end = ranges[i].begin;
        if (range.begin < begin)
            add(range.begin, begin, range.site);
        if (range.end > end)
            add(end, range.end, range.site);
    }
    pthread_mutex_unlock(&lock);
}

void memory_excuse(void *at, size_t size)
{
    uintptr_t begin = (uintptr_t)at, end = begin + ((size + 4095) & ~(size_t)4095);

    if (!engine_is_client())
        return;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < RANGES; i++)
        if (ranges[i].begin == begin && ranges[i].end == end)
            ranges[i].excused = true;
    pthread_mutex_unlock(&lock);
}

/* ---- Looking ---- */

static unsigned long offset(const void *site)
{
    return (unsigned long)((const char *)site - __executable_start);
}

bool memory_left(char *why, size_t size)
{
    if (overflown) {
        snprintf(why, size, "the test's own table of memory is too small");
        return true;
    }
    for (size_t i = 0; i < BLOCKS; i++)
        if (blocks[i].held) {
            snprintf(why, size, "leaked block, allocated at +%#lx", offset(blocks[i].site));
            return true;
        }
    for (size_t i = 0; i < RANGES; i++) {
        if (ranges[i].begin == ranges[i].end)
            continue;
        if (ranges[i].excused) {
            munmap((void *)ranges[i].begin, ranges[i].end - ranges[i].begin);
            continue;
        }
        snprintf(why, size, "leaked mapping of %zu bytes, mapped at +%#lx",
                 ranges[i].end - ranges[i].begin, offset(ranges[i].site));
        return true;
    }
    return false;
}
