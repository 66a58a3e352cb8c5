/* SPDX-License-Identifier: MIT */
/* hang.h - what all processes are at, when nothing goes on any more */
#ifndef TESTS_SOAK_HANG_H
#define TESTS_SOAK_HANG_H

/* Prints the stacks of all descendants of this process, as well as they can be had here. */
void describe_all(void);

/* Ends them all, but for those that have left for good, and waits for that. */
void end_all(void);

#endif
