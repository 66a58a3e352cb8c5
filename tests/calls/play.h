/* SPDX-License-Identifier: MIT */
/*
 * play.h - scenarios that use a pool, whatever fails meanwhile
 *
 * A scenario goes on after each error as a careful program would.  What goes otherwise than
 * without a failing call is a deviation: it must be one that the header tells of, and is
 * counted, as a single failing call may cost one call of the interface, or one item, and no
 * more.  Everything else is a violation.
 */
#ifndef TESTS_CALLS_PLAY_H
#define TESTS_CALLS_PLAY_H

#include <procpool.h>
#include <stdbool.h>

struct play {
    pp_start start;
    bool lasting; /* what fails once fails for good */
};

struct scenario {
    const char *name;
    void (*run)(const struct play *play);
    bool needs_processes; /* something is killed in it */
    bool slow_forks;
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

void deviate(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void violate(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define EXPECT(condition)                                                                    \
    ((condition) ? (void)0 : violate("%s:%d: not true: %s", __func__, __LINE__, #condition))

/* ---- What scenarios are made of (steps.c) ---- */

/* A pool; NULL if that cannot be, for good.  The start is the play's. */
pp_pool *play_pool(const struct play *play, pp_pool_options options);

/* Whether this code of submitting, or outcome, is 0; otherwise a documented deviation. */
bool was_submitted(const char *what, int code);
bool has_succeeded(const char *what, int code, const pp_error *error);

/* Waits, and looks how one ended that is to end with this code. */
void play_end_of(const char *what, pp_result *result, int wanted);

/* That the pool still does what it is for. */
void play_still_works(const struct play *play, pp_pool *pool);

/* Closes, joins, looks at the totals, frees. */
void play_finish(pp_pool *pool);

#endif
