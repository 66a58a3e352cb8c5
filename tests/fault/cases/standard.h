/* SPDX-License-Identifier: MIT */
/*
 * standard.h - what most cases do: a pool of two workers, twenty tasks that must not notice
 * anything, and in the midst of them the one with the fault; then one more, then the end
 */
#ifndef TESTS_FAULT_CASES_STANDARD_H
#define TESTS_FAULT_CASES_STANDARD_H

#include "case.h"

enum { BYSTANDERS = 20 };

/* How a task has to end.  Of signal, status, code and has (which is to be in the message)
   those that are said are looked at; a crash is by a signal or with a status. */
struct ending {
    int error;
    int signal;
    int status;
    int code;
    const char *has;
};

struct standard {
    pp_call victim;
    struct ending must;
    pp_pool *pool;            /* is ended; NULL: one of two workers */
    pp_async_options options; /* of the victim; its size need not be said */
    bool none_dies;           /* of the workers */
};

void standard(const struct standard *standard);
#define STANDARD(...) standard(&(struct standard){ __VA_ARGS__ })

/* ---- Its parts, for cases that do it otherwise ------------------------------------- */

struct bystanders {
    pp_result *results[BYSTANDERS];
};

/* Some of them, from the first on, and until the twentieth. */
void bystanders_submit(struct bystanders *all, pp_pool *pool, int from, int to);

/* How many have their value; the others are errors.  Frees them. */
int bystanders_right(struct bystanders *all);

/* Each of these has to have the value that it should have; says so. */
void bystanders_check(struct bystanders *all);

/* All of this: twenty are submitted to a pool, and right; nothing is said. */
void check_bystanders(pp_pool *pool);

/* pp_get() that is to be answered, however slow the machine is. */
int get(pp_result *result, void *out);

/* Waits for the answer to the fault, and looks whether it is what it must be; says it. */
void check_ending(pp_result *result, const struct ending *must);

/* A pool is terminated while a task, which never ends, has come to the gate. */
void check_terminated(pp_call endless, const struct gate *gate);

/* One more task. */
void check_works(pp_pool *pool);

/* Waits until a worker that is in the place of another runs tasks. */
void await_replacement(pp_pool *pool);

/* Terminates, frees and notes how long it took. */
void end_pool(pp_pool *pool);

/* The process id of a worker. */
pid_t worker_pid(pp_pool *pool, int id);

/* "PP_ECRASHED, SIGSEGV", "PP_ERAISED, code 12", "success", "-EINVAL". */
const char *ending_words(int error, const pp_error *details);

#endif
