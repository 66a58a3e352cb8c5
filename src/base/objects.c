/* SPDX-License-Identifier: MIT */
#include "base/objects.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CACHED 16

/* Code of an object. */
struct range {
    uintptr_t begin, end;
    size_t object;
};

struct ppi_objects {
    _Atomic uintptr_t cache[CACHED]; /* addresses that were found before; of any thread */
    size_t ranges_count, ranges_room;
    struct range *ranges;
    size_t count, room;
    struct ppi_object *all;
    uint64_t *there; /* by object, its base in the other process; NULL: there is no other ... */
    bool *is_there;  /* ... and whether it has it */
};

/* Room for one more in an array that doubles; false without memory. */
static bool grow(void *array, size_t size, size_t count, size_t *room)
{
    void *more;

    if (count < *room)
        return true;
    *room = *room ? 2 * *room : 32;
    more = realloc(*(void **)array, *room * size);
    if (more)
        *(void **)array = more;
    return more != NULL;
}

/* ---- What is loaded ---- */

/* Finds the build-id among the notes of a segment. */
static void read_notes(struct ppi_object *object, const char *notes, size_t size)
{
    while (size >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)notes;
        size_t name = (note->n_namesz + 3u) & ~3u, data = (note->n_descsz + 3u) & ~3u;
        size_t whole = sizeof *note + name + data;

        if (whole > size)
            return;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
            memcmp(note + 1, "GNU", 4) == 0 && note->n_descsz <= sizeof object->id) {
            object->id_size = (uint8_t)note->n_descsz;
            memcpy(object->id, (const char *)(note + 1) + name, note->n_descsz);
        }
        notes += whole;
        size -= whole;
    }
}

static void set_name(struct ppi_object *object, const char *path)
{
    size_t length = strlen(path), most = sizeof object->name - 1;

    strcpy(object->name, path + (length > most ? length - most : 0));
}

static bool add_range(struct ppi_objects *objects, uintptr_t begin, size_t size)
{
    if (!grow(&objects->ranges, sizeof *objects->ranges, objects->ranges_count,
              &objects->ranges_room))
        return false;
    objects->ranges[objects->ranges_count++] =
        (struct range){ begin, begin + size, objects->count - 1 };
    return true;
}

static int add_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct ppi_objects *objects = data;
    struct ppi_object *object;

    (void)size;
    if (!grow(&objects->all, sizeof *objects->all, objects->count, &objects->room))
        return -ENOMEM;
    object = &objects->all[objects->count];
    memset(object, 0, sizeof *object);
    object->base = info->dlpi_addr;
    if (objects->count++ > 0)
        set_name(object, *info->dlpi_name ? info->dlpi_name : "?");
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + header->p_vaddr;

        if (header->p_type == PT_NOTE)
            read_notes(object, (const char *)begin, header->p_memsz);
        else if (header->p_type == PT_LOAD && (header->p_flags & PF_X) &&
                 !add_range(objects, begin, header->p_memsz))
            return -ENOMEM;
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
    if (!objects)
        return;
    free(objects->ranges);
    free(objects->all);
    free(objects->there);
    free(objects->is_there);
    free(objects);
}

const struct ppi_object *ppi_objects_list(const struct ppi_objects *objects, size_t *count)
{
    *count = objects->count;
    return objects->all;
}

/* ---- Functions ---- */

static const struct range *range_of(const struct ppi_objects *objects, uintptr_t address)
{
    for (size_t i = 0; i < objects->ranges_count; i++)
        if (address - objects->ranges[i].begin <
            objects->ranges[i].end - objects->ranges[i].begin)
            return &objects->ranges[i];
    return NULL;
}

bool ppi_objects_have(struct ppi_objects *objects, uintptr_t address)
{
    _Atomic uintptr_t *cached = &objects->cache[address / 16 % CACHED];
    const struct range *range;

    if (address == 0)
        return false;
    if (atomic_load_explicit(cached, memory_order_relaxed) == address)
        return true;
    range = range_of(objects, address);
    if (!range || (objects->there && !objects->is_there[range->object]))
        return false;
    atomic_store_explicit(cached, address, memory_order_relaxed);
    return true;
}

bool ppi_objects_describe(const struct ppi_objects *objects, uintptr_t address,
                          struct ppi_far *function)
{
    const struct range *range = range_of(objects, address);

    if (!range)
        return false;
    function->object = objects->all[range->object];
    function->offset = address - function->object.base;
    return true;
}

/* Whether they are the same build.  The program is: an image of it is made from its file. */
static bool are_same(const struct ppi_object *a, const struct ppi_object *b)
{
    if (!*a->name || !*b->name)
        return *a->name == *b->name && a->id_size == b->id_size &&
               memcmp(a->id, b->id, a->id_size) == 0;
    return a->id_size > 0 && a->id_size == b->id_size && memcmp(a->id, b->id, a->id_size) == 0;
}

uintptr_t ppi_objects_find(const struct ppi_objects *objects, const struct ppi_far *function)
{
    for (size_t i = 0; i < objects->count; i++)
        if (are_same(&objects->all[i], &function->object)) {
            uintptr_t address = objects->all[i].base + function->offset;
            const struct range *range = range_of(objects, address);

            return range && range->object == i ? address : 0;
        }
    return 0;
}

/* ---- The other process ---- */

int ppi_objects_match(struct ppi_objects *objects, const struct ppi_object *there, size_t count)
{
    objects->there = calloc(objects->count, sizeof *objects->there);
    objects->is_there = calloc(objects->count, sizeof *objects->is_there);
    if (!objects->there || !objects->is_there)
        return -ENOMEM;
    for (size_t i = 0; i < objects->count; i++)
        for (size_t k = 0; k < count && !objects->is_there[i]; k++)
            if (are_same(&objects->all[i], &there[k])) {
                objects->is_there[i] = true;
                objects->there[i] = there[k].base;
            }
    return 0;
}

uintptr_t ppi_objects_there(const struct ppi_objects *objects, uintptr_t address)
{
    const struct range *range = range_of(objects, address);

    if (!range || !objects->there)
        return address;
    return address - objects->all[range->object].base + objects->there[range->object];
}
