/* SPDX-License-Identifier: MIT */
/* Process calls that glibc 2.36 has no function for, or none that fits. */
#ifndef PPI_BASE_PROCESS_H
#define PPI_BASE_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A close-on-exec descriptor of a process, readable when it is dead; or -errno. */
int ppi_pidfd_open(pid_t pid);

/* Whether a pidfd's process is dead. */
bool ppi_pidfd_dead(int pidfd);

/* Ends it with SIGKILL. */
void ppi_pidfd_kill(int pidfd);

/* Whether this process has one thread only; false when it cannot be known. */
bool ppi_single_threaded(void);

/*
 * fork() without a SIGCHLD to the parent when the child ends, and without wait()
 * and waitpid(-1, ...) in the parent ever seeing the child: it is reaped by
 * ppi_reap_quiet() only.  The parent must have one thread: locks of libc are not
 * looked after.
 */
pid_t ppi_fork_quiet(void);

/* Waits until a child of either fork is dead, and reaps it unless somebody else has. */
void ppi_reap_quiet(int pidfd);

/*
 * Waits until a child is dead, and leaves it.  Its number, which is nobody else's until it is
 * reaped; 0 if somebody has reaped it already.
 */
pid_t ppi_await_unreaped(int pidfd);

/*
 * Sends SIGKILL to every child of this process, found in /proc, also to those
 * that it has adopted.  Returns how many there were, -errno when it cannot know.
 */
int ppi_kill_children(void);

/* What /proc/PID/stat says of a process. */
struct ppi_process {
    char state; /* Z: a zombie; X: not even that any more */
    pid_t parent, session;
    unsigned flags; /* PF_... of the kernel */
    unsigned threads;
    unsigned long long begun; /* in clock ticks */
    int exit_code; /* as of waitpid(); 0 if it has none, or none that is for us to know */
};

/* Reads it; false if the process is gone, or it cannot be known. */
bool ppi_read_process(pid_t pid, struct ppi_process *process);

/*
 * Whether a child has begun to exit, on its only thread: it will run nothing more, long
 * before wait() says so if it has much memory to give back.  *status is what wait() will
 * say.  False if it cannot be known, and for those that exit with status 0.
 */
bool ppi_is_exiting(pid_t pid, int *status);

/*
 * Blocks the signals that are for the program's own threads, for one of the library's that
 * is about to be made; *before is what pthread_sigmask() takes to undo it.  Those that a
 * thread raises itself, by a crash, stay: a handler that the program has for them could
 * not run otherwise, in its own callback.
 */
void ppi_block_signals(sigset_t *before);

/* The bytes that the machine could still give, SIZE_MAX when it cannot be known. */
size_t ppi_memory_available(void);

/* The text of /proc/PID/maps, for free(); NULL if it cannot be had. */
char *ppi_read_maps(pid_t pid);

/*
 * Where glibc keeps why it aborts, for whoever looks at what is left of a process; or NULL.  To
 * be asked early: it takes a lock that in a forked child a thread of the past may hold.
 */
const void *const *ppi_libc_words(void);

#endif
