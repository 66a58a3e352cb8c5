/* SPDX-License-Identifier: MIT */
#include "trials.h"

#include <stdlib.h>

#include "harness.h"

unsigned trials(unsigned some, unsigned all)
{
    const char *given = getenv("TEST_TRIALS");

    if (given)
        return (unsigned)strtoul(given, NULL, 10);
    return getenv("TEST_THOROUGH") ? all : some;
}

void pass_time(unsigned long microseconds)
{
    double end = harness_now() + (double)microseconds * 1e-6;

    while (harness_now() < end)
        ;
}
