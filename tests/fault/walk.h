/* SPDX-License-Identifier: MIT */
/*
 * walk.h - the walk: a party of a real pool is stopped at each point of its path
 *
 * A client is forked, makes a pool and goes along a path: it submits, cancels, closes and so
 * on.  One of the parties, the client itself, its supervisor or a worker, is followed step
 * by step (tracee.h).  After k steps it is killed; or it stands there while others do
 * something, and then goes on.  This is done for each k until the path is at its end.
 *
 * Whatever the point was: all results end, each item has one outcome, a death costs no more
 * than the item that was running, values are right; a pool without supervisor refuses more,
 * all others work on; it can be freed; the client is left with the descriptors, mappings and
 * threads that it had; and in the end no process is left.
 */
#ifndef TESTS_FAULT_WALK_H
#define TESTS_FAULT_WALK_H

#include <procpool.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

enum { WALK_ITEMS = 2048, WALK_RESULTS = 8, WALK_NOTHING = -1 };

enum walk_party { WALK_CLIENT, WALK_SUPERVISOR, WALK_WORKER, WALK_PARTIES };

/* What happens at the point. */
enum walk_event {
    WALK_KILLED,          /* the party is killed; with all others it stands until ... */
    WALK_OTHERS_GO_ON,    /* ... all others sleep or have ended; then it goes on */
    WALK_WORKER_DIES,     /* ... another worker is killed, and what comes of that is over */
    WALK_SUPERVISOR_DIES, /* ... the same of the supervisor */
    WALK_CLIENT_DIES,     /* ... and of the client */
    WALK_THREAD_MAPS,     /* ... another thread of the client has had a map run, or waits */
    WALK_THREAD_CANCELS,  /* ... it has cancelled all that is open, or waits */
    WALK_EVENTS,
};

/* What the test and the client share; zero but for what the scenario's begin() sets. */
struct walk_stage {
    atomic_bool ready; /* the client sleeps at the beginning of the path */
    atomic_uint go;    /* the test opens this: the path, ... */
    atomic_uint leave; /* ... and what comes after it */
    atomic_bool over;  /* the path is */
    atomic_uint event; /* for the client's second thread, which ... */
    atomic_int thread; /* ... is this ... */
    atomic_bool acted; /* ... and has done it */

    atomic_uint deaths;    /* of workers that the test has killed */
    atomic_bool bereft;    /* the test has killed the supervisor, or will */
    atomic_bool killed;    /* it has */
    atomic_bool ending;    /* somebody cancels, closes or terminates */
    atomic_bool keeps;     /* results are not freed: another thread may use them */

    double patience_s;
    atomic_uint held; /* items that wait */
    atomic_uint open; /* they need not any more */
    atomic_uint runs[WALK_ITEMS];
    char violation[300];
};

struct walk_client {
    struct walk_stage *stage;
    const struct walk_scenario *scenario;
    pp_pool *pool;
    struct {
        pp_result *result;
        long first, count;
    } results[WALK_RESULTS];
    atomic_uint count;
    unsigned judged; /* of these */
};

struct walk_scenario {
    const char *name;
    enum walk_party party;
    bool from_birth; /* it is followed from its fork on; a client never is */
    int workers;
    long max_tasks;
    bool finalizer;
    bool late;                               /* the pool is made on the path */
    bool large;                              /* so large a client that forking it takes long */
    long dies, crashes, holds;               /* items that kill, abort, wait; 0: none */
    double limit, grace;                     /* of each item */
    int retries;
    unsigned events;                         /* besides WALK_KILLED; bits */
    void (*prepare)(struct walk_client *);   /* before the path, in the client */
    void (*path)(struct walk_client *);
};

extern const struct walk_scenario walk_scenarios[];
extern const unsigned walk_count;

/* ---- What paths are made of (walk_client.c) ---- */

/* A client's whole life. */
_Noreturn void walk_be_client(struct walk_stage *stage, const struct walk_scenario *scenario);

void walk_make_pool(struct walk_client *client);

/* A map of items [first, first + count). */
void walk_submit(struct walk_client *client, long first, long count, long chunksize);

/* Looks at all that was submitted, when it has ended, and frees it. */
void walk_judge(struct walk_client *client);

/* Until so many items wait; opens the way for them. */
void walk_await_held(struct walk_client *client, unsigned count);
void walk_open(struct walk_client *client);

/* A function of the pool's has returned this; which is right, or why a broken pool refuses. */
void walk_check(struct walk_client *client, const char *what, int code);

/* Notes the first violation. */
__attribute__((format(printf, 2, 3))) void walk_violated(struct walk_stage *stage,
                                                         const char *format, ...);

/* ---- The walk (walk.c) ---- */

struct walk_tally {
    unsigned points, calls; /* of the path when nothing happens; of these, system calls */
    unsigned runs, violations;
    char first[500];
};

struct walk_manner {
    unsigned most;     /* points, spread over the path; UINT_MAX: all of them */
    double patience_s; /* with what is to happen at all */
    unsigned enough;   /* violations */
};

struct walk_tally walk(const struct walk_scenario *scenario, enum walk_event event,
                       struct walk_manner manner);

/* Of a program whose library is broken: where that shows. */
struct walk_broken {
    const char *scenario;
    enum walk_event event;
    unsigned most; /* points that are tried */
};
extern const struct walk_broken walk_broken;

const struct walk_scenario *walk_scenario(const char *name);

#endif
