/* SPDX-License-Identifier: MIT */
/*
 * support.h - what the end-to-end tests share: memory and gates that tasks and the
 * test see alike, and a look at the processes of a pool from outside
 */
#ifndef TESTS_E2E_SUPPORT_H
#define TESTS_E2E_SUPPORT_H

#include <procpool.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "harness.h"

/*
 * Zeroed memory that is one and the same in all processes forked later.  Must be
 * made before the pool; given to a task as a pointer.
 */
void *shared_new(size_t size);
void shared_free(void *memory, size_t size);

/*
 * Holds tasks back until the test opens it: a test then knows that they run, or
 * that they cannot have ended, without sleeping.
 */
struct gate {
    atomic_int open;
    atomic_int waiting; /* how many have come to the gate so far, also those that passed */
    atomic_int passed;
};

struct gate *gate_new(void);
void gate_free(struct gate *gate);
void gate_open(struct gate *gate);
void gate_wait(struct gate *gate);

/* Keeps the processor, or not, for so long. */
void spend_time(long microseconds);
void sleep_for(long microseconds);

/* The processes of the one pool that the test has, found from outside. */
struct census {
    pid_t supervisor;
    pid_t workers[128];
    size_t count; /* of workers */
};

/* False unless there is just one supervisor, with this many live workers. */
bool take_census(struct census *census, size_t workers);

/* Whether a process is there; a zombie is not. */
bool is_alive(pid_t pid);

/* How many processes there are besides the test's own: with zombies, and without;
   and how many threads and descriptors it has. */
size_t processes(void);
size_t living(void);
size_t threads(void);
size_t descriptors(void);

/* A pool of this many workers; the test fails if it cannot be made. */
pp_pool *pool_of(int workers);

/* Closes, joins and frees, each of which is to succeed. */
void finish(pp_pool *pool);

/* How often: some in the normal run of the tests (a quarter of many with sanitizers, under
   which forking is slow), all with TEST_THOROUGH=1. */
unsigned rounds(unsigned some, unsigned all);

/* Another one each time, unless it is given as TEST_SEED=n; says which. */
unsigned long choose_seed(void);

/* The same sequence for the same seed, in each process its own. */
unsigned long next_random(unsigned long *seed);

#endif
