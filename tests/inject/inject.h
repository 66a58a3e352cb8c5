/* SPDX-License-Identifier: MIT */
/*
 * inject.h - processes that are stopped and killed between any two steps of the protocol
 *
 * The library is built once more, with the points of src/base/point.h.  A run is a process of
 * its own, the client, which works off a scenario: a pool, some tasks, and at the end all is
 * looked at.  What is to happen at which point stands in orders, in a page that all processes
 * share.  A stopped process sleeps in the kernel and can be killed there like any other.
 *
 * point.c is what happens at a point, scenarios*.c and judge.c are in the client, run.c is
 * outside of all of them: it waits until whoever is not stopped has nothing to do, lets go
 * of whoever is, and looks who is left.  walk.c goes through the points.
 */
#ifndef TESTS_INJECT_INJECT_H
#define TESTS_INJECT_INJECT_H

#include <procpool.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/point.h"

enum role { CLIENT, SUPERVISOR, WORKER, ROLES };

enum action { NOTHING, STOP, KILL };

enum { ITEMS = 4096, TRACE = 256 };

/* At its n-th passage of this point a process of this role is stopped or killed. */
struct order {
    enum action action;
    enum role role;
    enum ppi_point point;
    unsigned nth;
};

/* The second order counts from when the first was carried out, for other processes. */
enum { FIRST, SECOND, ORDERS };

/* Who was where: for those who have to find out why. */
struct trace {
    pid_t pid;
    unsigned char role, point;
};

/* What all processes of a run share. */
struct stage {
    struct order orders[ORDERS];
    struct {
        atomic_bool due;
        atomic_uint passages;
        atomic_int pid; /* of whom it was carried out on, or 0 */
        atomic_uint released;
    } carried[ORDERS];
    pid_t watcher;      /* run.c */
    atomic_uint bell;   /* rung for it */
    atomic_uint events; /* passages of points, in all */
    atomic_uint passed[ROLES][PPI_POINT_COUNT];
    struct trace trace[TRACE]; /* the last of them */
    uint64_t fork_takes_ns;    /* each, of the CPU: forking is slow here */

    /* The scenario's: */
    atomic_uint runs[ITEMS]; /* how often the item's function was called */
    atomic_uint begun;       /* tasks that have no end of their own */
    atomic_bool open;        /* they end now */
    atomic_uint called;      /* initializers, or callbacks */
    atomic_bool ended;       /* the client has come to its end */
    char violation[512];     /* and found this */
};

extern struct stage *stage;

/* Notes the first violation; never returns to the scenario. */
_Noreturn void violated(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Scenarios ---- */

struct scenario {
    const char *name;
    void (*run)(void);
    double settle_s; /* it has time limits: who waits for one is not idle before this */
    bool two_cpus;   /* what it shows needs two CPUs, and luck */
};

extern const struct scenario scenarios[];
const struct scenario *scenario_named(const char *name);

/* In a process of its own: works it off. */
_Noreturn void be_client(const struct scenario *scenario);

/* ---- One run ---- */

struct verdict {
    bool reached[ORDERS];
    bool violated;
    char why[1024];
};

/* Makes the page; at the start, and in each process that shares the work.  Gives it back. */
void prepare_stage(void);
void leave_stage(void);

struct verdict run(const struct scenario *scenario, const struct order orders[ORDERS]);

/* ---- Names ---- */

extern const char *const point_names[], *const point_texts[], *const role_names[];

/* "worker:WORKER_CLAIMED:1:stop", for replays. */
void spell_order(const struct order *order, char *text, size_t size);
bool parse_order(const char *text, struct order *order);

/* ---- Walks ---- */

struct tally {
    unsigned long runs, reached, unreached, violations;
};

/* How much of it. */
struct extent {
    unsigned passages;  /* of each point, from the first on */
    unsigned one_in;    /* of the pairs */
    unsigned per_place; /* scenarios for each place, or pair of them; 0: all that pass there */
    unsigned lanes;     /* processes that share the work */
    unsigned long seed; /* chooses them */
    bool progress;      /* is told of */
};

/* Runs each scenario without orders: what it passes; before all others. */
void walk_without_orders(struct tally *tally);

/* Stops and kills at each point. */
void walk_points(const struct extent *extent, struct tally *tally);

/* Stops one party at each point and kills another at each. */
void walk_pairs(const struct extent *extent, struct tally *tally);

/* Forgets what was passed. */
void end_walk(void);

/* Until now: points that were passed, by whom they were; and those that were not, named. */
unsigned count_places(void);
unsigned count_missed(void);

#endif
