/* SPDX-License-Identifier: MIT */
/*
 * rig.h - a pool in one thread, of whose workers one is hostile
 *
 * Client, supervisor and workers are the library's own code; what only processes can do,
 * to be forked, to run side by side and to die, is played.  The input says who does what
 * next.  One worker at a time is hostile: between its steps, and whenever client or
 * supervisor look at what it may write, it writes what the input says.
 */
#ifndef TESTS_FUZZ_RIG_H
#define TESTS_FUZZ_RIG_H

#include <setjmp.h>

#include "client/client.h"
#include "fuzz.h"
#include "supervisor/supervisor.h"
#include "worker/worker.h"

/* Every other seat is never given out: nobody may look there, and AddressSanitizer is told so. */
enum { RIG_SEATS = 12, RIG_FIRST_PID = 1000, RIG_MOST_ITEMS = 256, RIG_MOST_RESULTS = 48 };

/* What the hostile worker does, and when. */
struct rig_powers {
    bool seat;   /* writes its seat and its outbox */
    bool claims; /* writes the claims */
    bool dies;   /* over and over, and others take its place */
};

/* An item, as a task is given it, and what is known of it. */
struct rig_item {
    long value;      /* that it comes to */
    unsigned honest; /* times that honest workers have begun it */
    bool tainted;    /* the hostile one has had its task, so that it may be anything */
    bool harmed;     /* or an honest worker died in its task, or it was cancelled */
};

struct rig_result {
    pp_result *result;
    enum rig_kind { RIG_LONG, RIG_BIG, RIG_STRING, RIG_ECHO, RIG_BYTES, RIG_RAISE, RIG_IN_PLACE,
                    RIG_KINDS } kind;
    size_t first, count; /* items */
    long *in_place;
};

struct rig {
    struct input *input;
    struct rig_powers powers;
    pp_pool *pool;
    struct ppi_supervisor supervisor;
    struct ppi_worker workers[RIG_SEATS];
    bool dead[RIG_SEATS]; /* and not reaped */
    int status[RIG_SEATS];
    int hostile;       /* seat, or -1 */
    unsigned lives;    /* hostile ones until now */
    bool ghost;        /* it goes on writing when it is dead */
    bool silent;       /* it is dead, and writes no more */
    bool looking;      /* client or supervisor, at what it may write */
    int running;       /* seat whose task runs; or -1 */
    unsigned waits;    /* for room, of its */
    bool may_die;      /* the worker that runs */
    jmp_buf death;
    size_t items_count, results_count;
    struct rig_item items[RIG_MOST_ITEMS];
    struct rig_result results[RIG_MOST_RESULTS];
    unsigned told; /* deaths */
};

extern struct rig rig;

/* ---- rig.c: the pool ---- */

/* Plays an input from beginning to end, and checks what comes of it. */
void rig_play(const uint8_t *data, size_t size, struct rig_powers powers);

/* The same for targets of their own: a pool, and its end. */
void rig_begin(struct input *input, struct rig_powers powers);
void rig_end(void);

/* Client or supervisor begin to look, and end. */
void rig_look(void);
void rig_look_away(void);

/* A worker that runs a task dies here and now. */
_Noreturn void rig_die(int status);

/* ---- tasks.c: what is run, and what must come of it ---- */

/* Submits something, if there is room. */
void rig_submit(void);

/* The items of a position that a worker has claimed are tainted, or harmed. */
void rig_taint(uint64_t position);
void rig_harm(uint64_t position);
void rig_harm_all(const pp_result *result);

/* Everything is over: looks at all results, and frees them. */
void rig_check_results(void);
bool rig_all_there(void);

/* ---- mischief.c: what the hostile worker writes ---- */

void rig_mischief(input_byte *next);

#endif
