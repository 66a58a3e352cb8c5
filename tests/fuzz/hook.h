/* SPDX-License-Identifier: MIT */
/*
 * hook.h - lets what others write change between any two looks at it
 *
 * Included before all else, by the compiler's -include, in the copies of the library's
 * readers that fuzz targets are linked with.  Before each atomic operation and each copy
 * fuzz_before() is called with the place that is about to be read, and may write there.
 * A signal to a process that there is none of goes to fuzz_kill(), and a worker that ends
 * itself to fuzz_abort().
 */
#ifndef TESTS_FUZZ_HOOK_H
#define TESTS_FUZZ_HOOK_H

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void fuzz_before(const volatile void *place);
int fuzz_kill(pid_t pid, int signal);
_Noreturn void fuzz_abort(void);

/* What an atomic object holds: its type without _Atomic and qualifiers. */
#define FUZZ_TYPE(place) __typeof__((void)0, *(place))

#undef atomic_load
#undef atomic_load_explicit
#define atomic_load_explicit(place, order)                                                 \
    (fuzz_before(place), __atomic_load_n((FUZZ_TYPE(place) *)(place), (int)(order)))
#define atomic_load(place) atomic_load_explicit(place, memory_order_seq_cst)

#define memcpy(to, from, size) (fuzz_before(from), __builtin_memcpy(to, from, size))
#define kill(pid, signal) fuzz_kill(pid, signal)
#define abort() fuzz_abort()

#endif
