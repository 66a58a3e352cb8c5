/* SPDX-License-Identifier: MIT */
/*
 * Which functions workers can call: those of code that was there when they were
 * forked.  A list of the executable ranges that were mapped then.
 */
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "client/client.h"

#define CACHED 16

struct range {
    uintptr_t begin, end;
};

struct ppi_objects {
    _Atomic uintptr_t cache[CACHED]; /* addresses that were found before; of any thread */
    size_t count, room;
    struct range *ranges;
};

static int add_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct ppi_objects *objects = data;

    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        struct range *more;

        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
            continue;
        if (objects->count == objects->room) {
            objects->room = objects->room ? 2 * objects->room : 32;
            more = realloc(objects->ranges, objects->room * sizeof *more);
            if (!more)
                return -ENOMEM;
            objects->ranges = more;
        }
        objects->ranges[objects->count].begin = info->dlpi_addr + header->p_vaddr;
        objects->ranges[objects->count].end =
            info->dlpi_addr + header->p_vaddr + header->p_memsz;
        objects->count++;
    }
    return 0;
}

int ppi_objects_create(struct ppi_objects **objects)
{
    *objects = calloc(1, sizeof **objects);
    return *objects ? dl_iterate_phdr(add_object, *objects) : -ENOMEM;
}

void ppi_objects_destroy(struct ppi_objects *objects)
{
    if (objects)
        free(objects->ranges);
    free(objects);
}

bool ppi_objects_have(struct ppi_objects *objects, uintptr_t address)
{
    _Atomic uintptr_t *cached = &objects->cache[address / 16 % CACHED];

    if (address == 0)
        return false;
    if (atomic_load_explicit(cached, memory_order_relaxed) == address)
        return true;
    for (size_t i = 0; i < objects->count; i++)
        if (address - objects->ranges[i].begin <
            objects->ranges[i].end - objects->ranges[i].begin) {
            atomic_store_explicit(cached, address, memory_order_relaxed);
            return true;
        }
    return false;
}
