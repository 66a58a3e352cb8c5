/* SPDX-License-Identifier: MIT */
/*
 * Sleeping and waking.
 *
 * A worker that finds nothing to do sleeps on the bell; the client, when there is
 * no record to take in, on its own.  Each sleep is announced first, in a flag, and
 * whoever brings something looks at the flag afterwards: both fence in between, so
 * that one of the two sees the other.  No call of the kernel is made while nobody
 * sleeps.
 *
 * At most one wake-up of a worker is on its way at a time (waking): the worker
 * that it reaches takes a task and passes it on if it leaves others.  That is
 * several times faster than a wake-up per task.  Nor is anybody woken while a worker
 * searches (src/queue/idle.h), which does the same.
 *
 * The client's service thread, when all that it has to do is to take in records and
 * to feed the backlog, dozes: it is woken when that is pressing (PPI_PRESSING records
 * of one worker, or a worker that runs out of work or of room) instead of for each
 * record.  No work is delayed by that: as long as no worker runs out of it there is
 * work in the queue.
 *
 * An event loop of the client's sleeps neither here nor there but in poll(), on a
 * descriptor.  That is announced in the same way, and costs a call of the kernel only
 * when it was.
 *
 * A worker that is killed takes its wake-up with it, which is why the supervisor
 * calls ppi_wake_all() after every death, whatever it found.
 */
#ifndef PPI_QUEUE_WAKE_H
#define PPI_QUEUE_WAKE_H

#include <stdbool.h>

#include "queue/claims.h"

/* After a task was published, or left behind by a claim: wakes a worker if one sleeps. */
void ppi_ring(struct ppi_queue *queue);

/* Worker: after a claim, passes the wake-up on if it leaves work and somebody sleeps. */
void ppi_pass_on(struct ppi_claimer *claimer);

/* Worker: sleeps until there may be something to do.  Returns at once if there is. */
void ppi_sleep(struct ppi_claimer *claimer);

/* After a record was committed: wakes the client, and its event loop, if they sleep. */
void ppi_wake_client(struct ppi_queue *queue);

/* The same by somebody who has fenced since. */
void ppi_wake_client_fenced(struct ppi_queue *queue);

/*
 * The same by a worker that goes on to other work, unless the client waits for something
 * else than the end of this task (PPI_NO_POSITION: no task has ended).
 */
void ppi_tell_client_fenced(struct ppi_queue *queue, uint64_t position);

/* Makes the event loop's descriptor readable if the loop waits for it. */
void ppi_ring_event(struct ppi_queue *queue);

/* Supervisor: the same for a worker whose task has closed the descriptor. */
void ppi_ring_owed_event(struct ppi_queue *queue);

/*
 * Client: makes the descriptor not readable and announces that a loop will wait for
 * it.  What it then finds by looking once more it must ring for itself.
 */
void ppi_event_announce(struct ppi_queue *queue);

/* Worker: there is much to take, or nothing left to do: wakes the service thread. */
void ppi_wake_service(struct ppi_queue *queue);

/*
 * Worker: what it had said in waking is over, if that still stands there.  It looks for
 * work once more afterwards.
 */
void ppi_clear_waking(struct ppi_queue *queue, uint32_t mine);

/* Worker: whether it is to end when it finds nothing to do. */
bool ppi_told_to_end(const struct ppi_queue *queue);

/* Worker: whether all are to be killed. */
bool ppi_told_to_stop(const struct ppi_queue *queue);

/* Worker: whether it is to leave, even if there is something to do. */
bool ppi_is_dismissed(const struct ppi_claimer *claimer);

/* Whether a worker sleeps, or is about to. */
bool ppi_anybody_sleeps(const struct ppi_queue *queue);

/* Service thread: as the two below, but for pressing news only. */
uint32_t ppi_service_announce(struct ppi_queue *queue);

/* Instead of that: no worker wakes it, but the supervisor after a death, and the client. */
uint32_t ppi_service_bell(const struct ppi_queue *queue);
void ppi_service_doze(struct ppi_queue *queue, uint32_t bell);

/* Client: wakes its own service thread. */
void ppi_rouse_service(struct ppi_queue *queue);

/* Client: has the supervisor look whether a worker is dying. */
void ppi_hint(struct ppi_queue *queue);

/* Client: wakes its own thread that sleeps, or is about to. */
void ppi_wake_leader(struct ppi_queue *queue);

/* Whatever may have been missed: everybody looks again.  A dead worker's flag is cleared. */
void ppi_wake_all(struct ppi_queue *queue);
void ppi_forget_sleeper(struct ppi_queue *queue, unsigned seat);

/*
 * When the command is FINISH: wakes so many workers.  The client wakes one, each that ends
 * two more, and the supervisor does for those that died instead.  If the client woke them
 * all they would stand in line for one CPU, since the other, from which it has woken them,
 * falls idle too late.
 */
void ppi_wake_to_end(struct ppi_queue *queue, int count);

/*
 * Client: announces that it will sleep: for anything, or for the end of the task at one
 * position, or of none in particular, and then also until a worker has nothing to do.  What it
 * then finds by looking once more it must deal with instead; otherwise it sleeps, with what
 * this returned, until that happens, the supervisor dies or the deadline.  0 or -ETIMEDOUT, -EINTR,
 * -EAGAIN.
 */
#define PPI_ANYTHING (UINT64_MAX - 1)
#define PPI_NONE_IN_PARTICULAR (UINT64_MAX - 2)
uint32_t ppi_client_announce(struct ppi_queue *queue, uint64_t wanted);
int ppi_client_sleep(struct ppi_queue *queue, uint32_t bell, uint64_t deadline_ns);

/*
 * Worker: makes the supervisor look at everything it looks at.  A task may have closed
 * the descriptor for it; then a signal does it, if the worker may still send one.
 */
void ppi_alarm(const struct ppi_queue *queue);

/* Whether the supervisor has died, from what the kernel wrote into its life word. */
bool ppi_supervisor_died(const struct ppi_queue *queue);

#endif
