/* SPDX-License-Identifier: MIT */
/* trials.h - how often, and how long */
#ifndef TESTS_FAULT_TRIALS_H
#define TESTS_FAULT_TRIALS_H

/* The number of trials: some in the normal run of the tests, all with TEST_THOROUGH=1, and
   n with TEST_TRIALS=n. */
unsigned trials(unsigned some, unsigned all);

/* Without sleeping: a sleep would be longer than a few microseconds. */
void pass_time(unsigned long microseconds);

#endif
