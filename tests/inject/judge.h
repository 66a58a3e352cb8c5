/* SPDX-License-Identifier: MIT */
/* judge.h - what scenarios are made of, and what must hold in each of them */
#ifndef TESTS_INJECT_JUDGE_H
#define TESTS_INJECT_JUDGE_H

#include "inject.h"

/* How an item may end. */
struct nature {
    bool crashes;   /* its function kills its worker, with this signal ... */
    int signal;
    unsigned times; /* ... so often, and is run again */
    bool raises;
    bool endless; /* it ends at its time limit only */
    bool timed;   /* it may, when its worker or the machine is slow */
    bool cancelled;
    bool broken; /* with its pool */
};

/* Whether a process of this role was killed, and which. */
bool was_killed(enum role role);
pid_t killed_worker(void);

/* Checks that can fail. */
#define MUST(condition)                                                                     \
    ((condition) ? (void)0 : violated("%s:%d: not true: %s", __FILE__, __LINE__, #condition))

/*
 * A pool of so many workers that sleep at once, or with these options.  Ends the scenario if
 * somebody was killed before it was there.
 */
#define POOL(...)                                                                          \
    open_pool(&(pp_pool_options){                                                          \
        .size = sizeof(pp_pool_options), .spin = PP_SPIN_NEVER, ##__VA_ARGS__ })
pp_pool *open_pool(const pp_pool_options *options);

/* The values of a map: items first to first + count - 1, each of this nature. */
struct expected {
    long first;
    size_t count;
    const char *(*wrong)(long id, const void *values, size_t i); /* NULL: it is right */
    struct nature (*nature)(long id);
};

/* Gets a result, NULL where it could not be submitted; looks at each item; frees it. */
void judge(pp_result *result, const struct expected *expected);

/* The same for something that was waited for. */
void judge_code(int code, const pp_error *error, long id, struct nature nature);

/* Waits until so many tasks have begun, or never will. */
void await_begun(unsigned count, pp_result *result);

/* Calls that must succeed, unless somebody was killed meanwhile. */
void works_on(pp_pool *pool);

/* Nothing is open; all that was taken has been given back. */
void check_empty(pp_pool *pool);

/* Closes, joins, frees, and looks at all that is left.  So many deaths are the scenario's. */
void finish(pp_pool *pool, unsigned deaths);

/* Nature of ordinary items. */
struct nature good(long id);

/* Tasks that several scenarios have: 5 * id + 3. */
long number(long id);
extern const pp_task *const number_task;
const char *wrong_number(long id, const void *values, size_t i);

#endif
