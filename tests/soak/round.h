/* SPDX-License-Identifier: MIT */
/* round.h - one pool and all that is asked of it */
#ifndef TESTS_SOAK_ROUND_H
#define TESTS_SOAK_ROUND_H

#include <procpool.h>

#include "scene.h"
#include "tasks.h"

/* How a round ends. */
enum ending {
    END_JOIN,       /* all is seen, then closed, joined */
    END_CLOSE,      /* closed amid the work, joined */
    END_TERMINATE,  /* terminated amid the work */
    END_FREE,       /* freed with all that is open */
    ENDINGS,
};

struct order;

struct round {
    pp_pool *pool;
    pp_pool_options options;
    enum ending ending;
    unsigned threads;
    double seconds;
    bool may_break;    /* its workers are killed without bounds */
    bool heavy;        /* the client has much memory, so that there is a spare */

    atomic_bool over;        /* no more is to be submitted */
    atomic_bool closing;     /* pp_close() or pp_terminate() has been called, or is about to be */
    atomic_bool terminating;
    atomic_long next;        /* the first item that nobody has */
    atomic_ulong least, most; /* submitted items; they differ where an iterator was given up */
    atomic_ulong failed;      /* that were seen, and ... */
    atomic_bool unseen;       /* ... whether there may be more */
    atomic_ulong lost, told;
    _Atomic(struct order *) dropped; /* a callback of theirs may still be running */
};

/* A call or a map. */
struct order {
    struct round *round;
    pp_result *result;
    enum type type;
    bool single;
    long first;
    size_t count;
    int retries;
    double limit, grace;
    bool stop, cancelled, with_callbacks;
    long chunksize;
    atomic_int called;
    struct order *next; /* in round->dropped */
};

/* ---- orders.c ---- */

/* Takes ids and decides what becomes of the items; false when there are no more. */
bool plan_order(struct round *round, struct order *order, uint64_t *random);

/* The items as an array for a map; for free_items(). */
void *make_items(const struct order *order);
void free_items(const struct order *order, void *items);

/* Submits it; false if the pool takes no more. */
bool submit(struct order *order, uint64_t *random);

/* Submitting has returned this: fails unless the round explains it. */
void check_refusal(const struct round *round, int code);

/* ---- check.c ---- */

/* An item has ended: as is right?  Value points to what came of it, if error is NULL. */
void judge(struct order *order, size_t i, const pp_error *error, const void *value);

/* Likewise, where it can only be seen whether the value is there. */
void judge_unknown(struct order *order, size_t i, bool succeeded, const void *value);

/* Waits for an order in some way, checks all of it, frees it. */
void settle(struct order *order, uint64_t *random);

/* Frees its result as it is; or leaves that to the pool, at the end. */
void drop(struct order *order, bool at_the_end);

/* ---- blocking.c ---- */

/* Things that are over when they return. */
void call_and_wait(struct round *round, uint64_t *random);
void map_and_wait(struct round *round, uint64_t *random);
void map_shared(struct round *round, uint64_t *random);
void iterate(struct round *round, uint64_t *random);

/* ---- inside.c ---- */

/* All has been seen or given up: waits until the pool holds nothing any more. */
void check_idle(struct round *round);

static inline void step(void)
{
    atomic_fetch_add(&scene->steps, 1);
}

#endif
