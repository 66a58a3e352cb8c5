/* SPDX-License-Identifier: MIT */
/* Tasks that crash, and how that is told, for the tests of crash reports. */
#ifndef TESTS_E2E_CRASHING_H
#define TESTS_E2E_CRASHING_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

#define NOINLINE __attribute__((noinline))

/* An address that compilers do not see through. */
static inline volatile int *at(volatile size_t address)
{
    return (volatile int *)address;
}

enum { STORE_LINE = __LINE__ + 4, FILL_LINE = STORE_LINE + 6 };

static NOINLINE void store(volatile int *place, int value)
{
    *place = value;
}

static NOINLINE int fill(volatile int *numbers, int count)
{
    for (int i = 0; i < count; i++)
        store(numbers + i, i);
    return numbers[0];
}

/* A line "function at file:line", with the folder that the compiler was given. */
static inline void check_line(const char *text, const char *function, const char *file,
                              int line)
{
    const char *begin = strstr(text, function), *found;
    char place[64];

    CHECK_HAS(text, function);
    begin += *begin == '\n';
    snprintf(place, sizeof place, "/%s:%d", file, line);
    found = strstr(begin, place);
    CHECK_HAS(begin, place);
    CHECK(found < begin + strcspn(begin, "\n"));
}

static inline size_t lines_of(const char *text)
{
    size_t lines = 1;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* How a call fails, which it must; for free(). */
#define FAILURE(pool, ...)                                                                 \
    __extension__({                                                                        \
        pp_error *error_ = NULL;                                                           \
        CHECK_EQ(pp_apply((pool), PP_CALL(__VA_ARGS__), NULL, .error = &error_),           \
                 PP_ECRASHED);                                                             \
        CHECK(error_ != NULL);                                                             \
        error_;                                                                            \
    })

#endif
