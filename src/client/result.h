/* SPDX-License-Identifier: MIT */
/*
 * Results: what a call or map is in the client, its arguments, values and failures.
 *
 * As in client.h, "locked" is with the pool's lock held.
 */
#ifndef PPI_CLIENT_RESULT_H
#define PPI_CLIENT_RESULT_H

#include <procpool.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"
#include "client/list.h"
#include "queue/layout.h"

/* A string or bytes that a task returned. */
struct ppi_value {
    char *data;
    size_t size;
};

/* What holds for each item of a call or map. */
struct ppi_limits {
    uint64_t time_ns;  /* that it may run; 0: no limit */
    uint32_t grace_ms; /* from SIGTERM to SIGKILL */
    uint16_t retries;
};

enum ppi_result_state {
    PPI_OPEN,  /* items are still to be run */
    PPI_DONE,  /* every item has its outcome; a callback is still to run */
    PPI_THERE, /* ready */
};

/* The items of a result that did not succeed. */
struct ppi_failures {
    pp_error *all; /* in the order of items when all are there */
    size_t count, room;
    pp_error *rest; /* of items that have no outcome in the end; NULL: there are none */
    pp_error *former_all, *former_rest; /* before the rest was spelled out: handed out */
};

/*
 * A million calls may be open: each has no more than this.  What every call needs on its
 * way comes first, in as few cache lines as it takes.
 */
struct pp_result {
    _Atomic uint32_t state; /* enum ppi_result_state; THERE is read without the lock */
    bool expected;         /* it has a callback, and is open */
    bool forgotten;        /* by its owner */
    bool is_chunk;         /* of an iterator's items: a struct ppi_chunk */
    bool waits;            /* somebody waits for it from the start */
    bool values_borrowed;  /* from the caller of a map that waits */
    bool in_place;         /* and shared with the workers, who store them there */
    bool items_shared;     /* workers read them where they are */
    bool cancelled;        /* items without an outcome end like the rest */
    bool stop_on_error;
    bool flat;          /* see ppi_is_flat() */
    uint32_t in_flight; /* tasks */
    pp_pool *pool;
    const pp_task *task;
    size_t count; /* items */
    size_t done;  /* items that have an outcome */
    size_t next;  /* items from here on are still to be submitted */
    uint64_t *outcomes; /* a bit per item: has one; and behind all of these, one per item
                           that has and yet is of the rest; of a few: few_outcomes */
    uint64_t few_outcomes[2];

    /* Values: of fixed size one after the other, or struct ppi_value; NULL: not wanted. */
    void *values;
    struct ppi_failures *failures; /* NULL: there are none */
    _Alignas(16) unsigned char one_value[PPI_INLINE_VALUE]; /* before that: its arguments */

    struct ppi_link waiting; /* in pool->backlog or pool->due */
    struct ppi_link all;     /* in pool->results */
    const void *items;       /* the caller's, while it waits; a single call's own copy */
    void *block;             /* that copy; or without items, all encoded in the arena */
    uint64_t newest;         /* position of the last task */
    struct ppi_limits limits;

    pp_callback *callback, *error_callback;
    void *user;

    size_t chunksize; /* 0: guided */
    size_t cut;       /* chunks until now */
    size_t staged;    /* bytes of encoded chunks in flight */
    struct ppi_link stopping; /* in pool->stopping: an item has failed */

    /* Progress. */
    uint64_t started_ns, ended_ns; /* 0: it has not */
    size_t shown;                  /* items done, as was said last: never goes back */
};

/* A chunk of an iterator's items. */
struct ppi_chunk {
    struct pp_result result;
    pp_iter *iter;           /* NULL: it has been freed */
    struct ppi_link reading; /* in one of the iterator's lists */
    size_t first_index;      /* of the chunk's first item, in the iterator */
    size_t held;             /* bytes of its arguments, later of its values */
};

static inline struct ppi_chunk *ppi_chunk_of(const pp_result *result)
{
    return PPI_OWNER(result, struct ppi_chunk, result);
}

static inline void ppi_set_state(pp_result *result, enum ppi_result_state state)
{
    /* Partner: ppi_is_there(). */
    atomic_store_explicit(&result->state, (uint32_t)state, memory_order_release);
}

/* Locked. */
static inline enum ppi_result_state ppi_state(const pp_result *result)
{
    return (enum ppi_result_state)atomic_load_explicit(&result->state, memory_order_relaxed);
}

/* Also without the lock: whether nothing of the result changes any more. */
static inline bool ppi_is_there(const pp_result *result)
{
    return atomic_load_explicit(&result->state, memory_order_acquire) == PPI_THERE;
}

/* For progress: of a single call nobody wants to know it to the microsecond. */
static inline uint64_t ppi_now_for(const pp_result *result)
{
    return result->count > 1 ? ppi_now_ns() : ppi_coarse_now_ns();
}

/* How many words the bits of a kind take. */
static inline size_t ppi_outcome_words(const pp_result *result)
{
    return (result->count + 63) / 64;
}

/* Of these 64 items, those that have an outcome of their own. */
static inline uint64_t ppi_own_outcomes(const pp_result *result, size_t word)
{
    return result->outcomes[word] & ~result->outcomes[ppi_outcome_words(result) + word];
}

static inline size_t ppi_failed(const pp_result *result)
{
    return result->failures ? result->failures->count : 0;
}

static inline pp_error *ppi_rest(const pp_result *result)
{
    return result->failures ? result->failures->rest : NULL;
}

/* ---- encode.c: arguments and what they point to ---- */

/* 0 or -EINVAL, -E2BIG: whether a task's description makes sense. */
int ppi_check_task(const pp_task *task);

/* Whether its arguments point to nothing that travels with them. */
bool ppi_is_flat(const pp_task *task);

/* The bytes that count items take with all that they point to; 0 or -EINVAL (bytes of a
   size at NULL), -ENOMEM (more than can be). */
int ppi_encoded_size(const pp_task *task, const void *items, size_t count, size_t *size);

/* Copies them to block, which has that size. */
void ppi_encode(const pp_task *task, const void *items, size_t count, void *block);

/* ---- result.c ---- */

/* Makes a pool, all zero before, one that has no results yet, nor what they go through. */
void ppi_init_results(pp_pool *pool);

/* Locked.  A new open result of count items, in the pool's list; NULL without memory. */
pp_result *ppi_result_new(pp_pool *pool, const pp_task *task, size_t count, bool wants_values);

/* Locked.  The same for an iterator, which is to be set. */
struct ppi_chunk *ppi_chunk_new(pp_pool *pool, const pp_task *task, size_t count);
void ppi_result_destroy(pp_result *result);

/* Locked.  Frees the copy of the arguments: all is submitted, or never will be. */
void ppi_free_arguments(pp_result *result);

/* Locked.  Stores the values of a result that is there; owned: as blocks for free(). */
void ppi_hand_out(pp_result *result, void *out, bool owned);

/* Locked.  Stores one of these values, not owned. */
void ppi_hand_out_item(pp_result *result, size_t item, void *out);

/* ---- failures.c ---- */

/* Locked. */
void ppi_free_failures(pp_result *result);

/* Whether an item has an outcome of its own; the first from here on that has none, or count. */
bool ppi_has_outcome(const pp_result *result, size_t item);
size_t ppi_next_missing(const pp_result *result, size_t item);

/* Locked.  There is not even memory to say how items failed that have no outcome. */
void ppi_fail_for_want(pp_result *result);

/* Locked.  All items are done: if each has an outcome of its own, there is no rest. */
void ppi_drop_needless_rest(pp_result *result);

/* Locked.  Puts the failures in the order of the items. */
void ppi_sort_failures(pp_result *result);

/* Locked.  The failed item with the lowest index, or NULL. */
const pp_error *ppi_first_failure(pp_result *result);

/* A copy of an error, one block for free(); NULL without memory. */
pp_error *ppi_error_copy(const pp_error *error);

/*
 * A copy of an error's words, message and backtrace: one block for free(), which is where the
 * message begins that the second one sets with the backtrace.  NULL without memory.
 */
char *ppi_copy_words(const pp_error *error);
void ppi_set_words(pp_error *error, const char *words);

/* What pp_get() returns for an error. */
int ppi_error_code(const pp_error *error);

/*
 * Locked.  How an item of a result that is there failed, or NULL.  For those who ask
 * item by item, in order: *failures counts what of result->failures they have seen.
 */
pp_error *ppi_failure_of_item(pp_result *result, size_t item, size_t *failures);

/* Locked.  Makes an entry for each item that the rest stands for; false without memory.  What
   pp_error_of() has handed out before stays. */
bool ppi_spell_out_rest(pp_result *result);

/* ---- outcome.c: what becomes of items ---- */

/* Locked.  Items [first, first + count) succeeded; false if that makes no sense. */
bool ppi_succeed(pp_result *result, size_t first, size_t count, const void *payload,
                 size_t size, bool is_null);

/* Locked.  Items [first, first + count) were not run; false if that makes no sense. */
bool ppi_skip(pp_result *result, size_t first, size_t count);

/* Locked.  An item failed; the message is copied.  False if that makes no sense. */
bool ppi_fail(pp_result *result, const pp_error *error);

/* Locked.  All items that have no outcome end like this: index does not matter. */
void ppi_fail_rest(pp_result *result, const pp_error *error);

/* Locked.  Looks whether the result is complete and does what is due then. */
void ppi_settle(pp_result *result);

#endif
