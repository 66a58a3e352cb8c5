/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <procpool.h>
#include <string.h>

#include "base/public.h"

#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)

static const struct {
    int code;
    const char *text;
} texts[] = {
    { 0, "success" },
    { PP_ERAISED, "the task raised an error" },
    { PP_ECRASHED, "the task crashed: its process was killed or exited" },
    { PP_ETIMELIMIT, "the task ran longer than its time limit" },
    { PP_ECANCELLED, "the task was cancelled" },
    { PP_EBROKEN, "the pool is broken: it cannot keep a worker alive" },
    { -EINVAL, "invalid argument" },
    { -E2BIG, "the task has too many parameters: " TEXT(PP_MAX_PARAMS) " at most" },
    { -EALREADY, "the result is there already" },
    { PP_STOP_ITERATION, "there are no more items" },
    { -EBUSY, "the pool still runs: close or terminate it before joining it" },
    { -ECHILD, "the pool belongs to another process: only its creator can use it" },
    { -EDEADLK, "waiting for this in a callback, an input function or a task would never end" },
    { -ENOEXEC, "the task's function was not loaded when the pool was created, or is not in "
                "its workers" },
    { -ENOTRECOVERABLE, "the pool is broken: it takes no more tasks" },
    { -ENOTSUP, "tasks that do not run in processes of their own cannot be stopped" },
    { -ERANGE, "more workers than the pool was made for: see max_processes" },
    { -ESHUTDOWN, "the pool is closed: it takes no more tasks" },
    { -ETIMEDOUT, "timed out: the task runs on" },
};

PPI_PUBLIC const char *pp_strerror(int code)
{
    const char *text;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].code == code)
            return texts[i].text;
    text = code < 0 && code > PP_ERAISED ? strerrordesc_np(-code) : NULL;
    return text ? text : "unknown error";
}

PPI_PUBLIC const char *pp_version(void)
{
    return TEXT(PP_VERSION_MAJOR) "." TEXT(PP_VERSION_MINOR) "." TEXT(PP_VERSION_PATCH);
}
