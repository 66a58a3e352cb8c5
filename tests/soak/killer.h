/* SPDX-License-Identifier: MIT */
/* killer.h - the conductor's hand: who is there, and who dies */
#ifndef TESTS_SOAK_KILLER_H
#define TESTS_SOAK_KILLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { MOST_CHILDREN = 256 };

/* The children of a process's first thread; how many. */
unsigned children_of(pid_t parent, pid_t *list, unsigned most);

/* Does what the round asks for, if it is time for it, to the pool of this client.  Returns
   the microseconds until it should be called again. */
unsigned long kill_some(pid_t client, uint64_t *random);

#endif
