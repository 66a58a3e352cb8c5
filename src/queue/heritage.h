/* SPDX-License-Identifier: MIT */
/*
 * All that the supervisor inherits from the client, and a worker from the
 * supervisor; and where each of them begins.  The three folders client, supervisor
 * and worker meet nowhere else.
 */
#ifndef PPI_QUEUE_HERITAGE_H
#define PPI_QUEUE_HERITAGE_H

#include <pthread.h>
#include <sys/types.h>

#include "queue/queue.h"

struct ppi_heritage {
    struct ppi_queue queue;
    int (*initializer)(void *arg);
    void *initarg;
    void (*finalizer)(void *local);
    uint64_t finalizer_ns; /* that it may run; PPI_NEVER: no limit */
    uint64_t seed;         /* of the pool: those of its workers come from it */
    uint64_t max_items; /* per worker; 0: no limit */
    int client;         /* pidfd: readable when the client is dead */
    const void *const *libc_words; /* where libc keeps why it aborts; NULL: not known */
    int poke;           /* reader of queue.poke: readable when somebody wants something */
};

/*
 * The same for a supervisor that is a fresh image of the program: what lies in the queue's
 * birth.  The segment lies at the same address in it, and descriptors keep their numbers; but
 * its code lies elsewhere.
 */
struct ppi_birth {
    uint64_t magic;
    uint32_t layout;
    uint32_t size; /* of this struct */
    struct ppi_heritage heritage;
    struct ppi_far library;     /* ppi_supervisor_run() */
    struct ppi_far initializer, finalizer; /* if there are */
    size_t initarg_size;        /* heritage.initarg lies in the arena */
};

/* The argument that makes an image a supervisor: the descriptor of the segment follows. */
#define PPI_IMAGE_ARGUMENT "--procpool-supervisor="

/* Whether main() has called pp_init(). */
bool ppi_is_initialized(void);

/* In a process forked for it: starts, replaces and ends the workers. */
_Noreturn void ppi_supervisor_run(const struct ppi_heritage *heritage);

/*
 * The same in a thread of this process, whose workers are threads, too; 0 or -errno.  All
 * signals are to be blocked when it is called.  The thread ends when the pool has.
 */
int ppi_supervisor_thread(const struct ppi_heritage *heritage, pthread_t *thread);

/* In a process that the supervisor forked for it: runs tasks on this seat. */
_Noreturn void ppi_worker_run(const struct ppi_heritage *heritage, unsigned seat,
                              uint32_t incarnation, pid_t supervisor);

/* The same in a thread; returns what would be the exit status of a process. */
int ppi_worker_thread(const struct ppi_heritage *heritage, unsigned seat, uint32_t incarnation);

/*
 * Without any supervisor: a worker that runs nothing by itself, but a task for each call of
 * ppi_inline_step(), in the thread that calls.  Making it runs the initializer: NULL and, in
 * *code and message, why it failed.
 */
struct ppi_worker *ppi_inline_new(struct ppi_heritage *heritage, int *code,
                                  char message[PPI_MESSAGE_SIZE]);
void ppi_inline_step(struct ppi_worker *worker);
void ppi_inline_free(struct ppi_worker *worker, const struct ppi_heritage *heritage);

/* Whether the calling thread runs a task of this queue. */
bool ppi_in_task_of(const struct ppi_queue *queue);

/*
 * In a process that the supervisor forked in advance: waits until that gives the spare of
 * this number a seat, and then is its worker.
 */
_Noreturn void ppi_spare_run(const struct ppi_heritage *heritage, uint32_t number,
                             pid_t supervisor);

#endif
