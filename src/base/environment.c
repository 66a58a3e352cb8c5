/* SPDX-License-Identifier: MIT */
#include "base/environment.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPTS 1000 /* a second and more */
#define HASTY_ATTEMPTS 16
#define MOST_VARIABLES ((size_t)1 << 16)
#define LONGEST ((size_t)1 << 17) /* the kernel takes no longer ones */
#define STEP ((size_t)4096) /* no page is smaller: a read does not reach into the next */

/* Reads memory that may not be there: up to size bytes, but not beyond a page. */
static size_t read_carefully(const void *from, void *to, size_t size)
{
    size_t left = STEP - (uintptr_t)from % STEP;
    struct iovec local = { to, size < left ? size : left };
    struct iovec remote = { (void *)(uintptr_t)from, local.iov_len };
    ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

    if (got < 0 && errno != EFAULT) { /* not allowed here: it is there most probably */
        memcpy(to, from, local.iov_len);
        got = (ssize_t)local.iov_len;
    }
    return got > 0 ? (size_t)got : 0;
}

/* Reads the array up to its NULL; how many pointers are before it, or MOST_VARIABLES. */
static size_t read_array(char *const *array, char **copy)
{
    size_t count = 0;

    while (count < MOST_VARIABLES) {
        size_t got = read_carefully(array + count, copy + count,
                                    (MOST_VARIABLES - count) * sizeof *copy) / sizeof *copy;

        for (size_t i = 0; i < got; i++, count++)
            if (!copy[count])
                return count;
        if (got == 0)
            break;
    }
    return MOST_VARIABLES;
}

/* The array, when it is the same twice; false when it is not. */
static bool read_twice(char **first, char **second, size_t *count)
{
    char **array = *(char ***volatile)&environ;

    if (!array) {
        *count = 0;
        return true;
    }
    *count = read_array(array, first);
    return *count < MOST_VARIABLES && read_array(array, second) == *count &&
           memcmp(first, second, *count * sizeof *first) == 0 &&
           *(char ***volatile)&environ == array;
}

/* A copy of a variable; NULL if it cannot be read, or without memory. */
static char *copy_variable(const char *variable)
{
    char text[STEP], *copy = NULL;
    size_t length = 0;

    while (length < LONGEST) {
        size_t got = read_carefully(variable + length, text, sizeof text);
        char *more = got > 0 ? realloc(copy, length + got) : NULL;

        if (!more)
            break;
        copy = more;
        memcpy(copy + length, text, got);
        if (memchr(text, '\0', got))
            return copy;
        length += got;
    }
    free(copy);
    return NULL;
}

void ppi_environment_free(char **copy)
{
    for (size_t i = 0; copy && copy[i]; i++)
        free(copy[i]);
    free(copy);
}

/* Copies of so many variables, for which there is room in all; whether all could be had. */
static bool copy_variables(char *const *variables, size_t count, char **all)
{
    for (size_t i = 0; i < count; i++) {
        *all = copy_variable(variables[i]);
        if (!*all)
            return false;
        if (strchr(*all, '='))
            all++;
        else
            free(*all); /* what is no variable is not missed */
    }
    *all = NULL;
    return true;
}

/* Somebody may be in the midst of a change, and without a CPU: to yield need not help then. */
static void let_others_go_on(int attempt)
{
    static const struct timespec nap = { .tv_nsec = 1000000 };

    if (attempt < HASTY_ATTEMPTS)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

char **ppi_environment_copy(void)
{
    char **arrays = malloc(2 * MOST_VARIABLES * sizeof *arrays), **copy = NULL;
    size_t count;

    for (int attempt = 0; arrays && attempt < ATTEMPTS; attempt++) {
        if (read_twice(arrays, arrays + MOST_VARIABLES, &count)) {
            copy = calloc(count + 1, sizeof *copy);
            if (copy && copy_variables(arrays, count, copy))
                break;
            ppi_environment_free(copy);
            copy = NULL;
        }
        let_others_go_on(attempt);
    }
    free(arrays);
    return copy;
}
