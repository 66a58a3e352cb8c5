/* SPDX-License-Identifier: MIT */
/*
 * rig.h - a pool in which the test itself plays the client and the supervisor
 *
 * The workers are real: processes that run ppi_worker_run().  So is what judges
 * their deaths, ppi_reap_worker().  The rest is done by hand, so that a test can
 * stop each party where it likes, and sees every record that is written: the
 * client proper would not let a second outcome of an item through.
 *
 * There is one rig at a time.
 */
#ifndef TESTS_FAULT_RIG_H
#define TESTS_FAULT_RIG_H

#include <procpool.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "harness.h"
#include "queue/wake.h"
#include "supervisor/supervisor.h"

enum { RIG_SEATS = 4, RIG_ITEMS = 8, RIG_TASKS = 4, RIG_TEXT = 64 };

/* Points of a worker's life at which it can be made to stop for its tracer. */
enum rig_mark {
    RIG_NOWHERE,
    RIG_START, /* nothing of the library has run yet */
    RIG_READY, /* in the initializer */
    RIG_WOKEN, /* back from a sleep */
    RIG_ITEM,  /* the function was called for item 0; RIG_ITEM + i: for item i */
    RIG_NEVER = 31,
};

/* What the processes of a rig share beside the segment. */
struct rig_shared {
    atomic_uint passed;            /* by the traced worker: a bit per mark */
    atomic_uint stop_at;           /* the mark at which it stops */
    atomic_bool asleep[RIG_SEATS]; /* this seat's worker sleeps, or is just about to */
    atomic_uint runs[RIG_ITEMS];   /* how often the item's function was called */
    atomic_uint alarms;            /* how often the supervisor was alarmed */
    atomic_uint signals;           /* how often a handler said that it got one */
};

/* What the records say of an item. */
struct rig_outcome {
    unsigned times;
    enum ppi_outcome kind; /* of the last one */
    unsigned seat;
    int code;
    long pid;
    size_t size; /* of the payload */
    bool is_null;
    union {
        long number;
        char text[RIG_TEXT];
    } value;
};

struct rig_task {
    uint64_t position;
    unsigned begin, end;
};

struct rig {
    struct ppi_heritage heritage;
    struct ppi_queue *queue; /* the heritage's */
    struct ppi_supervisor supervisor;
    struct rig_shared *shared;
    uint64_t taken[RIG_SEATS], control_taken;
    bool in_place; /* results go to shared memory */

    /* What the next tasks get. */
    uint64_t limit_ns;
    uint32_t grace_ms;

    /* The task, and where it lies; what records say of earlier ones is left aside, but
       for those that it was submitted beside: their items are others. */
    uint64_t position;
    unsigned begin, end;
    struct rig_task tasks[RIG_TASKS];
    unsigned count;
    struct rig_outcome outcomes[RIG_ITEMS];
    unsigned deaths[RIG_SEATS];
    const char *nonsense; /* a record that makes none */
};

void rig_open(struct rig *rig);
void rig_close(struct rig *rig);

/* Client: submits items [begin, end) of this task, whose only argument is an item.  From
   now on it is the task. */
void rig_submit(struct rig *rig, const pp_task *task, unsigned begin, unsigned end);

/* The same, and the earlier ones stay what they are. */
void rig_submit_beside(struct rig *rig, const pp_task *task, unsigned begin, unsigned end);

/* Client: takes in all records. */
void rig_drain(struct rig *rig);

/* Client: workers that find nothing to do are to end. */
void rig_finish(struct rig *rig);

/* Supervisor: starts a worker; one with a mark is traced by the test, and stops there. */
pid_t rig_spawn(struct rig *rig, unsigned seat, enum rig_mark mark);

/* Supervisor: judges a worker that waitpid() has said to be dead; whether it cost an item. */
bool rig_reap(struct rig *rig, unsigned seat, int status);

/* Whether a worker sleeps in the kernel; waits until it does. */
bool rig_sleeps(const struct rig *rig, unsigned seat, pid_t pid);
void rig_await_sleep(const struct rig *rig, unsigned seat, pid_t pid);

/* In a task of the rig's: it was called for this item, which kills its worker if it is
   rig_dies_at, and never ends if it is rig_stays_at; that is -1 for none, and what it was
   when the worker was started. */
void rig_called(long item);
extern long rig_dies_at, rig_stays_at;

/* In a signal handler of a worker. */
void rig_signalled(void);

/* In a worker, before its first task; NULL for nothing. */
extern void (*rig_prepare)(void);

#endif
