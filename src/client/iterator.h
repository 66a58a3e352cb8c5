/* SPDX-License-Identifier: MIT */
/*
 * What iterator.c and draw.c share.
 *
 * An iterator draws its items in chunks.  Each chunk is a result of its own, submitted
 * as any other, so that all that holds for results (backlog, crashes, limits, the end of
 * the pool) holds for chunks.  Everything here is guarded by the pool's lock, but for
 * what belongs to whoever draws: only one thread at a time does, without the lock while
 * it is in the input function.
 */
#ifndef PPI_CLIENT_ITERATOR_H
#define PPI_CLIENT_ITERATOR_H

#include "client/client.h"

/* Bytes that an iterator may hold before its window, if it was not asked for, shrinks. */
#define PPI_PLENTY ((size_t)32 << 20)

/* Copies of what drawn items point to, until their chunk is submitted. */
struct ppi_stash {
    struct ppi_stash_block *blocks; /* the first has room */
};

struct pp_iter {
    struct ppi_link all; /* in pool->iterators */
    pp_pool *pool;
    const pp_task *task;
    bool ordered;

    /* Where items come from. */
    const void *items; /* an array of count items, if there is no input */
    size_t count;
    pp_input *input;
    void *user;
    size_t chunk;    /* items */
    size_t window;   /* items; a chunk or more */
    size_t few_each; /* items: so many per worker are drawn however large; 0: the whole window */
    pthread_t owner; /* who used it last: the input is called in this thread only */

    /* Of each item. */
    struct ppi_limits limits; /* of each item */

    /* Of whoever draws, who may be in the input function: */
    bool drawing;
    pthread_t drawer;
    void *scratch; /* a chunk of items from the input */
    struct ppi_stash stash;
    int bad; /* an item was drawn that cannot be submitted, for this reason: it comes next */

    size_t drawn;  /* items, in all: the index of the next */
    bool ended;    /* so did the input */
    bool starved;  /* no memory for a chunk: not tried again before something has changed */
    bool cut;      /* an array that could not be drawn to its end */
    size_t open;   /* items that are drawn and have no outcome yet */
    size_t unread; /* items that are drawn and not handed out yet */
    size_t held;   /* bytes of their arguments and values, as far as they are known */
    size_t each;   /* bytes of an item's value, about */

    /* Chunks, in the order in which they were drawn; out of order: only open ones ... */
    struct ppi_list chunks;
    struct ppi_list ready; /* ... and here those that are there, as they came */
    struct ppi_list spent; /* handed out; what they hold lives until the next call */
    struct ppi_chunk *current; /* is being handed out: its items from here on are left */
    size_t next, failures; /* see ppi_failure_of_item() */
    const pp_error *error; /* of the item that was handed out last */

    unsigned users;     /* calls of functions that are in it now */
    _Atomic bool freed; /* by its owner; it goes when nobody is in it any more */
};

/* ---- draw.c ---- */

/* Locked.  Whether there is something to draw, and room for it, and nobody does it. */
bool ppi_can_draw(const pp_iter *iter);

/* Locked.  Whether nothing will be drawn any more, though the end was not reached. */
bool ppi_is_cut_off(const pp_iter *iter);

/*
 * Locked.  Draws a chunk and submits it; the lock is released while an input function is
 * called.  0 or -ENOMEM, and then nothing was drawn.
 */
int ppi_draw(pp_iter *iter);

/* Frees what drawing needed. */
void ppi_stash_destroy(struct ppi_stash *stash);

/* ---- iterator.c ---- */

/* Locked.  Around what releases the lock: the iterator stays.  The second may free it. */
void ppi_iter_enter(pp_iter *iter);
void ppi_iter_leave(pp_iter *iter);

#endif
