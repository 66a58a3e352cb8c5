/* SPDX-License-Identifier: MIT */
/*
 * All that the supervisor inherits from the client, and a worker from the
 * supervisor; and where each of them begins.  The three folders client, supervisor
 * and worker meet nowhere else.
 */
#ifndef PPI_QUEUE_HERITAGE_H
#define PPI_QUEUE_HERITAGE_H

#include <sys/types.h>

#include "queue/queue.h"

struct ppi_heritage {
    struct ppi_queue queue;
    unsigned workers;
    int (*initializer)(void *arg);
    void *initarg;
    uint64_t max_items; /* per worker; 0: no limit */
    int client;         /* pidfd: readable when the client is dead */
    int poke;           /* reader of queue.poke: readable when somebody wants something */
};

/* In a process forked for it: starts, replaces and ends the workers. */
_Noreturn void ppi_supervisor_run(const struct ppi_heritage *heritage);

/* In a process that the supervisor forked for it: runs tasks on this seat. */
_Noreturn void ppi_worker_run(const struct ppi_heritage *heritage, unsigned seat,
                              uint32_t incarnation, pid_t supervisor);

/*
 * In a process that the supervisor forked in advance: waits until that gives the spare of
 * this number a seat, and then is its worker.
 */
_Noreturn void ppi_spare_run(const struct ppi_heritage *heritage, uint32_t number,
                             pid_t supervisor);

#endif
