/* SPDX-License-Identifier: MIT */
/* What the files of the harness share with each other and not with tests. */
#ifndef TESTS_HARNESS_INTERNAL_H
#define TESTS_HARNESS_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "harness.h"

/* How a test ended, as its processes tell it; a mapping that all of them share.
   The first to move `verdict` from UNDECIDED writes `why`. */
struct harness_report {
    atomic_int verdict;
    atomic_bool finished; /* the test's body has returned, and nothing had leaked */
    char why[2048];
};

extern struct harness_report *harness_report;

/* The processes that run the tests, and the running test's own. */
extern pid_t harness_runner;
extern pid_t harness_self;

/* What a process holds that it may forget to give back. */
struct harness_holdings;

struct harness_holdings *harness_take_stock(void);
void harness_holdings_free(struct harness_holdings *holdings);

/* Writes to why what is held now and was not before; false if that is nothing. */
bool harness_compare(const struct harness_holdings *before, char *why, size_t size);

/* Writes to why which other processes the test has; false if that is none. */
bool harness_processes_left(char *why, size_t size);

/* Fails the test, for a reason that has no place in a source file. */
_Noreturn void harness_blame(const char *why);

/* As snprintf(), at the end of what text already holds. */
void harness_append(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A whole file, such as one of /proc, for free(); NULL if it cannot be read. */
char *harness_read(const char *path);

#endif
