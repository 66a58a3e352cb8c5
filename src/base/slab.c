/* SPDX-License-Identifier: MIT */
#include "base/slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Blocks lie at multiples of their size: an object's address tells its block. */
#define BLOCK_SIZE ((size_t)1 << 20)

/* So many empty blocks stay: 64 MiB. */
#define MOST_EMPTY 64

#define ALIGN ((size_t)16)

/* A sanitizer shall see each object on its own, and what is used after it was freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define APART 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define APART 1
#endif
#endif
#ifndef APART
#define APART 0
#endif

struct object {
    struct object *next;
};

struct ppi_slab_block {
    struct ppi_slab_block *next, *previous; /* of the list of those that have room */
    struct object *free;
    size_t used;
    size_t fresh; /* objects from this one on have never been used */
};

#define HEADER ((sizeof(struct ppi_slab_block) + ALIGN - 1) / ALIGN * ALIGN)

static size_t objects_in_block(const struct ppi_slab *slab)
{
    return (BLOCK_SIZE - HEADER) / slab->size;
}

void ppi_slab_init(struct ppi_slab *slab, size_t size)
{
    *slab = (struct ppi_slab){ .size = (size + ALIGN - 1) / ALIGN * ALIGN };
}

static void push(struct ppi_slab *slab, struct ppi_slab_block *block)
{
    block->previous = NULL;
    block->next = slab->roomy;
    if (block->next)
        block->next->previous = block;
    slab->roomy = block;
}

static void unlink_block(struct ppi_slab *slab, struct ppi_slab_block *block)
{
    if (block->next)
        block->next->previous = block->previous;
    if (block->previous)
        block->previous->next = block->next;
    else
        slab->roomy = block->next;
}

void ppi_slab_destroy(struct ppi_slab *slab)
{
    struct ppi_slab_block *block;

    while ((block = slab->roomy)) {
        slab->roomy = block->next;
        free(block);
    }
}

static struct ppi_slab_block *add_block(struct ppi_slab *slab)
{
    struct ppi_slab_block *block = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);

    if (!block)
        return NULL;
    *block = (struct ppi_slab_block){ .used = 0 };
    push(slab, block);
    slab->empty++;
    return block;
}

void *ppi_slab_alloc(struct ppi_slab *slab)
{
    struct ppi_slab_block *block = slab->roomy;
    struct object *object;

    if (APART)
        return calloc(1, slab->size);
    if (!block && !(block = add_block(slab)))
        return NULL;
    object = block->free;
    if (object)
        block->free = object->next;
    else
        object = (void *)((char *)block + HEADER + block->fresh++ * slab->size);
    slab->empty -= block->used == 0;
    block->used++;
    if (block->used == objects_in_block(slab))
        unlink_block(slab, block);
    return memset(object, 0, slab->size);
}

void ppi_slab_free(struct ppi_slab *slab, void *object)
{
    struct ppi_slab_block *block = (void *)((uintptr_t)object & ~(uintptr_t)(BLOCK_SIZE - 1));
    struct object *freed = object;

    if (APART || !object) {
        free(object);
        return;
    }
    if (block->used == objects_in_block(slab))
        push(slab, block);
    freed->next = block->free;
    block->free = freed;
    block->used--;
    if (block->used > 0)
        return;
    slab->empty++;
    if (slab->empty > MOST_EMPTY) {
        unlink_block(slab, block);
        slab->empty--;
        free(block);
    }
}
