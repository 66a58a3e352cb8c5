/* SPDX-License-Identifier: MIT */
/* How workers died, in words. */
#ifndef PPI_CLIENT_CRASH_H
#define PPI_CLIENT_CRASH_H

#include <procpool.h>

#include "base/backtrace.h"
#include "queue/layout.h"

/* What is known of crashes, the last that was described, and that of which worker. */
struct ppi_crashes {
    struct ppi_backtraces *backtraces; /* NULL: not needed yet */
    unsigned seat;
    uint32_t incarnation; /* 0: nobody's */
    const void *address;
    char what[PPI_CRASH_WORDS + 8];
    struct ppi_backtrace backtrace;
};

/* As long as what ppi_describe_death() writes can be. */
#define PPI_HOW_SIZE 900

/*
 * Locked.  How the last worker of a seat ended that is not released yet, with this wait
 * status: sets what an error says of that, and writes what comes after "square(...) ".  The
 * backtrace, which ends with the outermost function, lives until the next call.  The first
 * time this takes some milliseconds.
 */
void ppi_describe_death(pp_pool *pool, unsigned seat, int status,
                        const struct ppi_outermost *outermost, pp_error *error, char *how,
                        size_t size);

/*
 * Locked.  Why there are no workers any more, or never were, with words written to text:
 * those of the supervisor, and what is known of the worker's end that it tells of.
 */
void ppi_describe_failure(pp_pool *pool, pp_error *error, char *text, size_t size);
void ppi_forget_crashes(struct ppi_crashes *crashes);

#endif
