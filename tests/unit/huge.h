/* SPDX-License-Identifier: MIT */
/* What the kernel was told of an address, and says in /proc/self/smaps. */
#ifndef TESTS_UNIT_HUGE_H
#define TESTS_UNIT_HUGE_H

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "harness.h"

static inline void need_huge_pages(void)
{
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0)
        SKIP("this kernel has no huge pages");
}

/* Whether huge pages are wanted there. */
static inline bool wants_huge_pages(const char *address)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    unsigned long begin, end;
    bool there = false, wanted = false;
    char line[512];

    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            there = begin <= (uintptr_t)address && (uintptr_t)address < end;
        else if (there && strncmp(line, "VmFlags:", 8) == 0)
            wanted = strstr(line, " hg") != NULL;
    fclose(maps);
    return wanted;
}

#endif
