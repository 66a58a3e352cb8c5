/* SPDX-License-Identifier: MIT */
/* wrap.h - how functions in the place of libc's are written */
#ifndef TESTS_CALLS_WRAP_H
#define TESTS_CALLS_WRAP_H

#include <errno.h>

#include "engine.h"

#define SITE __builtin_return_address(0)
#define SYMBOL(type, name, ...)                                                              \
    type calls_##name(__VA_ARGS__);                                                          \
    type calls_##name(__VA_ARGS__)

/* errno is set as by the kernel; the result of a call that fails. */
#define FAIL_AS(call, result)                                                                \
    int error_ = engine_ask(CALL_##call, SITE);                                              \
    if (error_ && error_ < SHORT) {                                                          \
        errno = error_;                                                                      \
        return (result);                                                                     \
    }
#define FAIL(call) FAIL_AS(call, -1)

/* The form that is called where sizes of buffers are checked. */
#define CHECKED(type, name, function, parameters, arguments)                                 \
    type calls___##name##_chk parameters;                                                    \
    type calls___##name##_chk parameters                                                     \
    {                                                                                        \
        (void)room;                                                                          \
        return calls_##function arguments;                                                   \
    }

#endif
