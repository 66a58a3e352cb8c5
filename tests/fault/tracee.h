/* SPDX-License-Identifier: MIT */
/*
 * tracee.h - a process that stops after each of its steps that others can notice
 *
 * What a process does to its own memory nobody else sees, and it dies with it.  Others
 * notice two things: what it stores into the memory that they share, and what it asks the
 * kernel for.  All points between two of these are one and the same to them, if the process
 * is killed there.  If it is stopped there and goes on later, what it has read of shared
 * memory counts, too.
 *
 * So a tracee has the pages of the pool's segment taken away (mprotect(), which it is made
 * to call itself): the kernel reports each access.  It is given them for that one
 * instruction, for each system call, and when it is let go or killed.  In between it runs at
 * full speed; the length of its path does not matter.
 *
 * Needs no hook in the library, no symbol and no debugging information.  For x86-64.
 */
#ifndef TESTS_FAULT_TRACEE_H
#define TESTS_FAULT_TRACEE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { TRACEE_RANGES = 32 };

struct tracee_range {
    uintptr_t begin, end;
    int protection;
    bool hidden; /* it is taken away */
};

enum tracee_place { TRACEE_IN_CODE, TRACEE_IN_CALL, TRACEE_AFTER_CALL };

struct tracee {
    pid_t pid;
    bool reads; /* what it reads of the segment is a step, too */
    bool ended;
    int status; /* of the last stop, or how it ended */

    enum tracee_place place;
    int signal;     /* to be delivered when it goes on, or 0 */
    uintptr_t call; /* where some instruction calls the kernel */
    struct tracee_range ranges[TRACEE_RANGES]; /* the segment, as the tracee has it */
    unsigned count;

    unsigned long calls, accesses; /* steps until now */
};

enum tracee_event {
    TRACEE_STEPPED, /* has made one step, and stands */
    TRACEE_MARKED,  /* got a SIGSTOP, which comes to nothing else, and stands */
    TRACEE_SLEEPS,  /* is in a system call that may last */
    TRACEE_ENDED,
};

/* Whether processes can be followed here. */
bool tracee_possible(void);

/* Takes a process that sleeps in the kernel; now it stands there. */
void tracee_take(struct tracee *tracee, pid_t pid, bool reads);

/* A tracee that stands goes on at full speed until it has forked; its child becomes a tracee,
   and stands before its first instruction; the parent is let go.  False if it ended. */
bool tracee_take_child(struct tracee *parent, struct tracee *child);

/* Goes on to the next event; after TRACEE_SLEEPS that is to look again. */
enum tracee_event tracee_next(struct tracee *tracee);

/* Before others act: gives the segment back, for other threads, and for the kernel. */
void tracee_show(struct tracee *tracee);

/* While others act: if they have killed it they are to see that it has ended, and if they
   have woken it that it has done its call; it stands then. */
void tracee_look(struct tracee *tracee);

/* Lets it go. */
void tracee_release(struct tracee *tracee);

/* Kills it, and waits until it has ended. */
void tracee_kill(struct tracee *tracee);

/* In /proc: R, S, Z ... or ? if there is none such. */
char tracee_state(pid_t pid);

#endif
