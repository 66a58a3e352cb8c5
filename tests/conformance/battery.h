/* SPDX-License-Identifier: MIT */
/*
 * battery.h - one battery of tests of the public interface, for every start method
 *
 * The program is called with a start method and makes all of its pools with it:
 * conformance METHOD [--list] [test...].  What does not depend on the method has one
 * form for all.  Where methods differ by design the test says what holds under which;
 * a test that makes no sense under one stands in the table of exceptions.c.
 *
 * Nothing here may rest on what workers inherit: gates, counters and the like lie in
 * memory from pp_shared_alloc(), and tasks get pointers to it as arguments.  Nor may a
 * task use CHECK(): what it finds is its result.  Nor may it write to a static variable,
 * which is one for all if workers are threads, but where a test is about that.
 */
#ifndef TESTS_CONFORMANCE_BATTERY_H
#define TESTS_CONFORMANCE_BATTERY_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

/* Of support.h, what is inherited, and pools of no method. */
#pragma GCC poison shared_new gate_new pool_of

enum method { FORK, SPAWN, THREADS, INLINE, METHODS };
extern enum method method;

/* Whether workers are processes of their own, which may be killed. */
static inline bool in_processes(void)
{
    return method == FORK || method == SPAWN;
}

/* Whether calls run beside the test, which can then hold them back. */
static inline bool runs_later(void)
{
    return method != INLINE;
}

/* A test that is looked up in the table of exceptions first. */
#define CASE(name_, ...)                                                                   \
    static void case_##name_(void);                                                        \
    __attribute__((constructor)) static void note_case_##name_(void)                       \
    {                                                                                      \
        static struct noted_case noted = { .name = #name_ };                               \
        note_case(&noted);                                                                 \
    }                                                                                      \
    TEST(name_, ##__VA_ARGS__)                                                             \
    {                                                                                      \
        skip_exceptions(#name_);                                                           \
        case_##name_();                                                                    \
    }                                                                                      \
    static void case_##name_(void)

struct noted_case {
    const char *name;
    struct noted_case *next;
};

void note_case(struct noted_case *noted);
void skip_exceptions(const char *name);

/* pp_pool_new() with the method; NULL with errno if it fails. */
#define try_pool(...)                                                                      \
    try_pool_with((pp_pool_options){ .size = sizeof(pp_pool_options), ##__VA_ARGS__ })
pp_pool *try_pool_with(pp_pool_options options);

/* The test fails if it does. */
#define new_pool(...)                                                                      \
    new_pool_with((pp_pool_options){ .size = sizeof(pp_pool_options), ##__VA_ARGS__ })
pp_pool *new_pool_with(pp_pool_options options);

/* Options that give the initializer a variable. */
#define INITARG(variable) .initarg = &(variable), .initarg_size = sizeof(variable)

/* Zeroed, in the pool's shared memory, and freed with it. */
struct gate *gate_in(pp_pool *pool); /* open at once if nothing runs beside the test */
atomic_int *counter_in(pp_pool *pool);

/* Before a pool with running tasks ends: in processes these are killed where they stand,
   elsewhere they have to come to an end. */
void let_end(struct gate *gate);

/* Runs a function in a thread of the test's and waits for its end. */
void in_thread(void *(*function)(void *), void *arg);

/* ---- Tasks that many tests call ---- */

static inline long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static inline long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

static inline int touch(atomic_int *counter)
{
    return atomic_fetch_add(counter, 1);
}
PP_TASK(int, touch, atomic_int *, counter);

/* Raises the code, unless it is 0. */
static inline int raise_code(int code)
{
    if (code)
        pp_raise(code, "raised %d", code);
    return 0;
}
PP_TASK(int, raise_code, int, code);

static inline const char *echo(const char *text)
{
    return text;
}
PP_TASK(const char *, echo, const char *, text);

static inline pp_bytes echo_bytes(pp_bytes bytes)
{
    return bytes;
}
PP_TASK(pp_bytes, echo_bytes, pp_bytes, bytes);

static inline void check_works(pp_pool *pool)
{
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 12), &value), 0);
    CHECK_EQ(value, 144);
}

#endif
