/* SPDX-License-Identifier: MIT */
/*
 * The segment: one sparse memfd, mapped before the first fork and hence at the
 * same address in every process of the pool.
 *
 * It consists of parts, each with one writer, and each process confines itself to
 * what it may write, so that a stray pointer in one cannot damage another's data.
 * Claims and shared are the exceptions; the latter is the user's, pp_shared_alloc().
 *
 *     part      client       supervisor   worker w
 *     queue     read, write  read         read
 *     claims    read, write  read, write  read, write
 *     control   read         read, write  read
 *     seat w    read         read         read, write
 *     others'   read         read         -
 *     shared    read, write  -            read, write
 *
 * Pages cost memory only when they are touched, so that parts are given far more
 * address space than they will ever use.
 */
#ifndef PPI_SHM_SEGMENT_H
#define PPI_SHM_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>

enum ppi_part { PPI_QUEUE, PPI_CLAIMS, PPI_CONTROL, PPI_SEATS, PPI_SHARED, PPI_PARTS };

struct ppi_segment {
    char *base;
    size_t size;
    size_t offset[PPI_PARTS];
    size_t length[PPI_PARTS];
    size_t seat_size; /* the seats are as many of these as fit their part */
    size_t left;      /* bytes from base on that this process has unmapped */
    bool portable;    /* set before it is created: an image of the program is to map it, too */
    int file;         /* which is its descriptor then, until that is closed */
};

/*
 * Lays out the parts, whose lengths are given and are rounded up to pages, and
 * maps the segment.  Returns 0 or -ENOMEM, -EMFILE, -ENFILE, -ENOSYS.
 */
int ppi_segment_create(struct ppi_segment *segment, const size_t length[PPI_PARTS],
                       size_t seat_size);

/* In another image of the program: maps it where it lies in the first; 0, -EEXIST or -ENOMEM. */
int ppi_segment_attach(const struct ppi_segment *segment);

/* Closes the descriptor, if there is one. */
void ppi_segment_close_file(struct ppi_segment *segment);

/* Unmaps all but the shared part in this process, or leaves that to ppi_segment_destroy(). */
void ppi_segment_leave(struct ppi_segment *segment);

/* Closes and unmaps it, or what is left of it; with the last process its memory is gone. */
void ppi_segment_destroy(struct ppi_segment *segment);

/* Children that the program forks itself have no business there; 0, -ENOMEM, -EAGAIN, -ENOSYS. */
int ppi_segment_keep_from_children(const struct ppi_segment *segment);

/* Confine this process, once and for all; 0 or -errno. */
int ppi_segment_confine_client(const struct ppi_segment *segment);
int ppi_segment_confine_supervisor(const struct ppi_segment *segment);
int ppi_segment_confine_worker(const struct ppi_segment *segment, unsigned seat);

static inline char *ppi_segment_part(const struct ppi_segment *segment, enum ppi_part part)
{
    return segment->base + segment->offset[part];
}

/*
 * Gives the pages of a range back to the system; they read as zero afterwards.  False
 * if the system refuses, and then nothing has changed.
 */
bool ppi_segment_release_pages(void *address, size_t size);

/*
 * The same, if it can be done, for a range of another's that this process may perhaps only
 * read, and to which nobody writes any more.
 */
void ppi_segment_release_foreign(void *address, size_t size);

/* The same; a range that the system does not take back is zeroed nevertheless. */
void ppi_segment_clear_pages(void *address, size_t size);

#define PPI_PAGE ((size_t)4096)

/* n rounded up to a multiple of unit, which is a power of two. */
static inline size_t ppi_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) & ~(unit - 1);
}

#endif
