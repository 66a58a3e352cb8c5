/* SPDX-License-Identifier: MIT */
/* The environment for a program that is to be executed. */
#ifndef PPI_BASE_ENVIRONMENT_H
#define PPI_BASE_ENVIRONMENT_H

/*
 * A copy of the environment, for ppi_environment_free(); NULL without memory, or when other
 * threads never stop changing it.
 *
 * These can do so at any moment: setenv() has a lock, but no other function can take it, and
 * it frees the array that it replaces.  What is read here is read so that it may be gone, and
 * believed when it is the same twice.
 */
char **ppi_environment_copy(void);
void ppi_environment_free(char **copy);

#endif
