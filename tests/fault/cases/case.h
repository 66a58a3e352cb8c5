/* SPDX-License-Identifier: MIT */
/*
 * case.h - what the programs of this folder share: each is one fault, and says what the
 * caller saw of it
 *
 *     CASE(killed_in_task, .title = "SIGKILL in a task", .must = "...") { ... saw("..."); }
 *
 * The body runs as a test of the harness, in a process and a session of its own, which is
 * the pool's client.  What `must` says is what the body checks.  The program prints one
 * "key=value" per line, always all of them, in this order; values may be empty:
 *
 *     case         the program's name
 *     python       the case of the same fault for Python's pools, if there is one
 *     title, must  the fault, and what has to come of it, in words
 *     saw          what the caller saw, in words
 *     verdict      ok, hang, wrong, or skip; ok only if all that `must` says held
 *     why          for the last three
 *     answer_ms    from the fault to the moment at which the caller had the answer
 *     replaced_ms  from the death of a worker to the first task of the one in its place
 *     end_ms       what ending the pool took
 *     left         "nothing", or what there still was when the pool had been freed, and when
 *                  the client had ended: processes, zombies, descriptors, mappings, threads
 *
 * Exit status: 0 for ok, 77 for skip, 1 otherwise.
 */
#ifndef TESTS_FAULT_CASES_CASE_H
#define TESTS_FAULT_CASES_CASE_H

#include <procpool.h>

#include "harness.h"
#include "support.h"

struct fault_case {
    const char *name;
    const char *python;
    const char *title;
    const char *must;
    double limit; /* seconds, after which it hangs; 0: 15 */
    void (*run)(void);
};

/* The program's only one. */
extern const struct fault_case the_case;

#define CASE(name_, ...)                                                                   \
    static void run_case(void);                                                            \
    const struct fault_case the_case = { .name = #name_, .run = run_case, ##__VA_ARGS__ }; \
    static void run_case(void)

/* Appends words to what the caller saw, after a "; ". */
void saw(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Now is the fault, its answer, the first task of a replacement; called in whatever process
   it happens.  The answer and the replacement are those that come first after a fault; of
   several faults the longest times are printed. */
void fault_now(void);
void fault_at(double seconds); /* as harness_now() has them */
void answered_now(void);
void replaced_now(void);

/* Whether it was, since the fault. */
bool is_replaced(void);

/* What ending the pool, or what there was in its place, took. */
void ended_in(double seconds);

/* The case fails because something does not come that should. */
#define HANG(...) (case_hangs(), FAIL(__VA_ARGS__))
void case_hangs(void);

/* The full size of what is large with TEST_THOROUGH=1, otherwise less. */
size_t full_size(size_t some, size_t all);

#endif
