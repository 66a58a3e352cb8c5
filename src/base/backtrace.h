/* SPDX-License-Identifier: MIT */
/*
 * How a thread came to where it was stopped, in words.
 *
 * A line is "store at nested.c:12" where there is debug information, "store in nested+0x1139"
 * where there is a table of symbols, "nested+0x1139" where there is not, and the address alone
 * if it is nobody's.  The number is what addr2line wants.
 */
#ifndef PPI_BASE_BACKTRACE_H
#define PPI_BASE_BACKTRACE_H

#include "base/dwarf.h"

/* What has been found out about addresses; one thread at a time. */
struct ppi_backtraces;

/* Of this process, or, with maps given, of another: see ppi_dwarf_open().  NULL: no memory. */
struct ppi_backtraces *ppi_backtraces_new(const char *maps);
void ppi_backtraces_free(struct ppi_backtraces *backtraces);

/* Where a backtrace shall end, as what is farther out is of no interest. */
struct ppi_outermost {
    uintptr_t function; /* its frame is the last; 0: not known */
    const char *task;   /* what it is called if it is but what calls that; or NULL */
};

struct ppi_backtrace {
    char *lines;     /* "#0 ...\n#1 ...", for free() */
    char where[512]; /* "store() at nested.c:12": the innermost line that is none of the
                        system's libraries; "" if there is none */
};

/* Describes where a thread was; false without memory. */
bool ppi_backtrace_of(struct ppi_backtraces *backtraces, const struct ppi_stopped *stopped,
                      const struct ppi_outermost *outermost, struct ppi_backtrace *backtrace);

#endif
