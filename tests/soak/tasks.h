/* SPDX-License-Identifier: MIT */
/* tasks.h - what runs in the workers, and what must come of it */
#ifndef TESTS_SOAK_TASKS_H
#define TESTS_SOAK_TASKS_H

#include <procpool.h>

#include "scene.h"

enum type { NUMBER, TEXT, BLOB, NOTHING, MIXED, TYPES };

extern const pp_task *const tasks[TYPES];

/* The arguments of an item, for one parameter (a long, which is its id) and for MIXED. */
struct mixed_args {
    long id;
    const char *text;
    pp_bytes data;
};

long number_of(long id);
size_t text_of(long id, char *text, size_t size); /* its length */
size_t size_of(long id);                          /* of its bytes, as its item says */
void fill_blob(long id, void *data, size_t size);
bool is_blob(long id, const void *data, size_t size);
int raise_code_of(long id);

/* Whether this is how an item of this kind fails by itself, at its last attempt. */
bool own_failure(const struct item *item, long id, const pp_error *error);

/* Of a pool: with arg set, sometimes slow; the finalizer sometimes fails. */
int initialize(void *arg);
void finalize(void *local);

#endif
