/* SPDX-License-Identifier: MIT */
/* Between the library and the models, which are C, and relacy, which is C++. */
#ifndef TESTS_RELACY_MEMORY_H
#define TESTS_RELACY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum weak_kind { WEAK_LOAD, WEAK_STORE, WEAK_EXCHANGE, WEAK_ADD, WEAK_OR, WEAK_AND, WEAK_SWAPS,
                 WEAK_FENCE };

/* Orders are C's numbers; file, function and line say which access this is. */
uint64_t weak_load(const volatile void *place, size_t size, int order, const char *file,
                   const char *function, int line);
void weak_store(volatile void *place, size_t size, uint64_t value, int order,
                const char *file, const char *function, int line);
uint64_t weak_change(volatile void *place, size_t size, int kind, uint64_t value, int order,
                     const char *file, const char *function, int line);
bool weak_swap(volatile void *place, size_t size, uint64_t *expected, uint64_t value, int yes,
               int no, const char *file, const char *function, int line);
void weak_fence(int order, const char *file, const char *function, int line);

/* The kernel's: compares with the newest value and sleeps, in one step. */
int weak_wait(const volatile void *word, uint32_t value);
int weak_wake(const volatile void *word, int count);

/* ---- For models --------------------------------------------------------- */

enum { WEAK_PLACES = 120, WEAK_PLAIN = 8, WEAK_THREADS = 3 };

/* Before a run: an atomic object has this value. */
void weak_place(const volatile void *place, uint64_t value);

/* What is not atomic: accesses that nothing orders are found. */
void weak_read(unsigned plain);
void weak_write(unsigned plain);

void weak_check(bool condition, const char *text);

struct weak_model {
    const char *name;
    void (*before)(void);
    void (*threads[WEAK_THREADS])(void); /* those of the pool's processes */
    void (*after)(void);                 /* or NULL */
};

extern const struct weak_model weak_models[];
extern const unsigned weak_model_count;

/* Orders that no model needs, and why they are there all the same. */
struct weak_spare {
    const char *function;
    enum weak_kind kind;
    int order;
    const char *why;
};

extern const struct weak_spare weak_spares[];
extern const unsigned weak_spare_count;

#ifdef __cplusplus
}
#endif

#endif
