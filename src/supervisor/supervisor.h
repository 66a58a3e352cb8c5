/* SPDX-License-Identifier: MIT */
#ifndef PPI_SUPERVISOR_SUPERVISOR_H
#define PPI_SUPERVISOR_SUPERVISOR_H

#include <signal.h>
#include <stdbool.h>

#include "base/clock.h"
#include "queue/claims.h"
#include "queue/heritage.h"
#include "supervisor/limit.h"

/* A worker is being stopped: why, in what, and how far that has come. */
enum ppi_reason { PPI_STOP_NONE, PPI_STOP_LIMIT, PPI_STOP_CANCEL };

struct ppi_stop {
    enum ppi_reason reason;
    uint64_t position;
    uint64_t item, started; /* PPI_STOP_LIMIT: nothing but this item is meant */
    uint32_t word;          /* the stop word when SIGTERM was sent */
    uint64_t kill_at_ns;    /* the end of the grace period; PPI_NEVER: it is killed */
};

/* A seat as the supervisor knows it; private to it. */
struct ppi_place {
    pid_t pid; /* of the living worker, or 0 */
    uint32_t incarnation;
    uint32_t id;
    bool used; /* until the client has released this incarnation */
    bool dismissed; /* it is to leave */
    pid_t dying; /* was reaped when it had begun to exit: until it has ended; or 0 */
    struct ppi_stop stop;
    uint64_t finalizer_ends_ns; /* 0: it runs none; PPI_NEVER: it has no limit, or was killed */
    bool overdue;               /* it was killed for that */
};

/* From here on forking is slow, and so is giving back a process's memory.  A fork takes 0.1 to
   0.3 ms, and 10 ms more for each GB that the program had touched when the pool was made. */
#define PPI_SLOW_FORK_NS (5 * PPI_MS)

struct ppi_supervisor;

/* How workers begin and end: as processes of their own, or as threads of the client. */
struct ppi_kind {
    /* Starts a worker on a seat that is announced for it; its pid, or -errno. */
    pid_t (*start)(struct ppi_supervisor *supervisor, unsigned seat, uint32_t incarnation);

    /* Reaps those that have ended, and stops what is to be stopped. */
    void (*look)(struct ppi_supervisor *supervisor);

    /* Ends all workers and what has come of them, and reaps them. */
    void (*end)(struct ppi_supervisor *supervisor);

    bool has_children; /* the kernel sends SIGCHLD when one ends */
};

extern const struct ppi_kind ppi_processes, ppi_threads;

struct ppi_supervisor {
    const struct ppi_heritage *heritage;
    const struct ppi_kind *kind;
    struct ppi_thread *threads; /* by seat; NULL: they are processes */
    struct ppi_queue queue;
    struct ppi_place places[PPI_MAX_SEATS];
    uint64_t resumed[PPI_WINDOW]; /* the position that a slot's resume[] is about, plus 1; or 0 */
    uint64_t tail;                /* of the own records */
    unsigned alive;               /* workers ... */
    unsigned dismissed;           /* ... and of these, those that are to leave */
    unsigned seats_end;           /* what the control part says */
    unsigned size;                /* how many there are to be, when that was last looked at */
    bool has_id[PPI_MAX_SEATS];   /* whether a worker that lives has this id ... */
    uint32_t lives[PPI_MAX_SEATS]; /* ... and how many have had it */
    bool over;                    /* all has ended */
    bool ending;                  /* no more replacements */
    bool killing;                 /* everything ends now: deaths are our doing */
    struct ppi_limit limit;
    uint64_t retry_at_ns; /* when to fork again, if some are missing; or PPI_NEVER */
    uint64_t backoff_ns;
    uint64_t none_since_ns; /* since when there is no worker, for want of a fork */
    uint64_t look_at_ns;    /* when a time limit or a grace period ends next; or PPI_NEVER */
    uint64_t fork_ns;       /* what forking a worker took at least, of the CPU; 0: unknown */
    pid_t spare;            /* a process that waits for a seat, or 0 */
    uint32_t spares;        /* until now */
    uint64_t spare_at_ns;   /* when the next is to be forked; PPI_NEVER: there is no need */
    struct ppi_limit spare_limit;
    uint32_t hints;         /* that a worker is dying, those that were looked after */
    bool spareless; /* too many of them have died */
};

/* ---- spawn.c: from nothing to a worker ---- */

/* Starts a worker; 0, -EBUSY while every seat waits for the client, or -errno of fork(). */
int ppi_spawn_worker(struct ppi_supervisor *supervisor);

/* Says behind which seat there is nothing to look at. */
void ppi_show_seats(struct ppi_supervisor *supervisor);

/* ---- size.c: as many workers as there are to be ---- */

/* Dismisses those that are too many, or takes that back; returns how many are missing. */
unsigned ppi_fit_size(struct ppi_supervisor *supervisor);

/* ---- supervisor.c ---- */

/* Makes the calling process, or thread, a supervisor of workers of this kind; all zero before. */
void ppi_begin_supervising(struct ppi_supervisor *supervisor,
                           const struct ppi_heritage *heritage, const struct ppi_kind *kind);

/* Until all has ended. */
void ppi_supervise(struct ppi_supervisor *supervisor);

/* A worker runs no more, and this is how it ended: its wait status. */
void ppi_reap(struct ppi_supervisor *supervisor, unsigned seat, int status);

/* ---- processes.c ---- */

/* What a process must do that has been forked to be a supervisor. */
void ppi_become_supervisor(void);

/* Forks a process that can take the next free seat at once, if forking then would be slow. */
void ppi_keep_spare(struct ppi_supervisor *supervisor);

/* ---- reap.c: from a death to its consequences ---- */

/*
 * Judges what a dead worker leaves behind: records what it had done and what its
 * death cost, hands back the rest, tells everybody.  Returns whether the death cost
 * an item.
 */
bool ppi_reap_worker(struct ppi_supervisor *supervisor, unsigned seat, int status);

/* Whether the worker came as far as making its seat its own. */
bool ppi_seated(const struct ppi_supervisor *supervisor, unsigned seat);

/* How far it says that its life has come; STARTING if it is not. */
enum ppi_seat_state ppi_state_of(const struct ppi_supervisor *supervisor, unsigned seat);

/* Whether that is the pool's finalizer, so that it has left its last task in good order. */
bool ppi_is_finalizing(enum ppi_seat_state state);

/* Whether the worker's last record ends this position; committed moves up to its end. */
bool ppi_has_ended(const struct ppi_supervisor *supervisor, unsigned seat, uint64_t position,
                   uint64_t *committed);

/* ---- stop.c: time limits and cancel ---- */

/* Looks at what runs: stops what is to be stopped, and says in look_at_ns when to look again. */
void ppi_look_at_tasks(struct ppi_supervisor *supervisor);

/* The worker is dead: so is what its stop meant. */
void ppi_forget_stop(struct ppi_supervisor *supervisor, unsigned seat);

/* The seat of a process, or -1. */
int ppi_find_seat(const struct ppi_supervisor *supervisor, pid_t pid);

#endif
