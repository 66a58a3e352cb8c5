/* SPDX-License-Identifier: MIT */
/*
 * What debug information says of code: who has called whom, and which function, file and
 * line an address belongs to.  By libdw of elfutils, which is loaded when it is first needed;
 * where it is missing, when building or when running, nothing here finds anything.
 */
#ifndef PPI_BASE_DWARF_H
#define PPI_BASE_DWARF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ppi_dwarf;

/* A thread that was stopped: its registers, in the order of DWARF, and some of its stack. */
struct ppi_stopped {
    uint64_t pc, sp;
    const uint64_t *registers;
    size_t count; /* of them; 0: of a machine that cannot be unwound */
    const unsigned char *stack;
    uint64_t stack_at, stack_size;
    bool astray; /* pc is no code: what called it is where its return address is */
};

/* Which code an address belongs to.  What is not known is 0, or "". */
struct ppi_code {
    uintptr_t object;   /* where the program or library begins that it is part of ... */
    uintptr_t offset;   /* ... the address as addr2line would like to have it ... */
    char name[64];      /* ... and its name, without folders */
    uintptr_t function; /* where the function begins */
};

/* A place in the source.  Without file: only the function is known. */
struct ppi_source {
    const char *function; /* NULL: not even that */
    const char *file;
    int line;
};

/*
 * Makes ready for what is mapped in this process, or, with maps given, in another one: the
 * text of its /proc/PID/maps.  NULL if there is no libdw, or no memory.
 */
struct ppi_dwarf *ppi_dwarf_open(const char *maps);
void ppi_dwarf_close(struct ppi_dwarf *dwarf);

/*
 * The addresses of code that a stopped thread was at: the first where it was, the others
 * inside of the calls that led there.  Returns how many, at most max; *all is set if there
 * are no more.
 */
size_t ppi_dwarf_unwind(struct ppi_dwarf *dwarf, const struct ppi_stopped *stopped,
                        uintptr_t *addresses, size_t max, bool *all);

/* What an address is part of. */
void ppi_dwarf_find_code(struct ppi_dwarf *dwarf, uintptr_t address, struct ppi_code *code);

typedef void ppi_see_source(const struct ppi_source *place, void *user);

/*
 * Calls see for the place in the source of an address, of which code was found, and, if the
 * compiler has put functions into others, for those that they are in, from the innermost on:
 * for one at least.  Sets code->function.  With symbols only, there is just the function: to
 * read all that is known of libc may take 50 ms.
 */
void ppi_dwarf_find_places(struct ppi_dwarf *dwarf, uintptr_t address, bool symbols_only,
                           struct ppi_code *code, ppi_see_source *see, void *user);

#endif
