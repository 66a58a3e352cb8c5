/* SPDX-License-Identifier: MIT */
/*
 * The program and the libraries that are loaded: which functions can be called, here and in
 * another process of the same program.
 *
 * What is loaded twice lies at different addresses, but a function has the same offset in
 * the same build of the same object.  Builds are told apart by their build-ids.
 */
#ifndef PPI_BASE_OBJECTS_H
#define PPI_BASE_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A program or library, by what is the same wherever it is loaded; and where it is. */
struct ppi_object {
    uint64_t base; /* what its addresses are relative to */
    char name[94]; /* the end of its path; "" for the program itself */
    uint8_t id_size;
    uint8_t id[33]; /* its build-id; 0 bytes: it has none */
};

/* A function by its object. */
struct ppi_far {
    uint64_t offset;
    struct ppi_object object;
};

struct ppi_objects; /* that are loaded now */

/* 0 or -ENOMEM. */
int ppi_objects_create(struct ppi_objects **objects);
void ppi_objects_destroy(struct ppi_objects *objects);

/* The objects themselves, the program first. */
const struct ppi_object *ppi_objects_list(const struct ppi_objects *objects, size_t *count);

/* Whether this address lies in their code; after a match: in code that is there as well. */
bool ppi_objects_have(struct ppi_objects *objects, uintptr_t address);

/* The function at an address in their code; false if it lies elsewhere. */
bool ppi_objects_describe(const struct ppi_objects *objects, uintptr_t address,
                          struct ppi_far *function);

/* The address of a function of another process in this one; 0: it is not there, or is of
   another build, or nobody can tell. */
uintptr_t ppi_objects_find(const struct ppi_objects *objects, const struct ppi_far *function);

/* The objects of the process that the functions are to be called in; 0 or -ENOMEM. */
int ppi_objects_match(struct ppi_objects *objects, const struct ppi_object *there,
                      size_t count);

/* Where a function that is had lies there. */
uintptr_t ppi_objects_there(const struct ppi_objects *objects, uintptr_t address);

#endif
