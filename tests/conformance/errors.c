/* SPDX-License-Identifier: MIT */
/* pp_raise(), and what is told of items that failed. */
#include <limits.h>
#include <signal.h>

#include "battery.h"

static void check_error(const pp_error *error, int code, const char *function)
{
    CHECK(error != NULL);
    CHECK_EQ(error->size, sizeof *error);
    CHECK_EQ(error->kind, PP_RAISED);
    CHECK_EQ(error->code, code);
    CHECK_EQ(error->signal, 0);
    CHECK_EQ(error->status, 0);
    CHECK_EQ(error->index, 0);
    CHECK_STR(error->function, function);
    CHECK(error->pid > 0);
    CHECK_EQ(error->pid != getpid(), runs_later()); /* of a thread: its own */
}

CASE(raised_code_and_message)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_result *result = pp_apply_async(pool, PP_CALL(raise_code, EDOM));
    int value = 42;

    CHECK_EQ(pp_get(result, &value), PP_ERAISED);
    CHECK_EQ(pp_get(result, &value), PP_ERAISED);
    CHECK_EQ(value, 42);
    CHECK(pp_ready(result));
    CHECK(!pp_successful(result));
    check_error(pp_error_of(result), EDOM, "raise_code");
    CHECK_HAS(pp_error_of(result)->message, "raised 33");
    CHECK_EQ(pp_failures(result), 1);
    CHECK_EQ(pp_failure(result, 0)->code, EDOM);
    CHECK(!pp_failure(result, 1));
    finish(pool);
}

static int raise_any(int code, const char *message)
{
    pp_raise(code, "%s", message);
}
PP_TASK(int, raise_any, int, code, const char *, message);

CASE(any_code)
{
    static const int codes[] = { 0, 1, -1, INT_MAX, INT_MIN, PP_ECRASHED, PP_STOP_ITERATION };
    pp_pool *pool = new_pool(.processes = 1);

    for (int i = 0; i < 7; i++) {
        pp_error *error = NULL;

        CHECK_EQ(pp_apply(pool, PP_CALL(raise_any, codes[i], "any"), NULL, .error = &error),
                 PP_ERAISED);
        check_error(error, codes[i], "raise_any");
        CHECK_HAS(error->message, "any");
        free(error);
    }
    finish(pool);
}

/* At most 1023 bytes of it are kept. */
CASE(long_messages)
{
    pp_pool *pool = new_pool(.processes = 1);
    char message[3000];

    for (size_t size = 0; size < sizeof message; size += 500) {
        pp_error *error = NULL;

        memset(message, 'm', sizeof message);
        message[size] = '\0';
        CHECK_EQ(pp_apply(pool, PP_CALL(raise_any, 1, message), NULL, .error = &error),
                 PP_ERAISED);
        if (size > 1023)
            message[1023] = '\0';
        CHECK_STR(error->message, message);
        free(error);
    }
    finish(pool);
}

static int deeper(int depth, int code)
{
    if (depth == 0 && code)
        pp_raise(code, "from below");
    return depth == 0 ? 0 : deeper(depth - 1, code) + 1;
}
PP_TASK(int, deeper, int, depth, int, code);

static int compare_and_raise(const void *a, const void *b)
{
    if (*(const int *)a == 13 || *(const int *)b == 13)
        pp_raise(13, "unlucky");
    return *(const int *)a - *(const int *)b;
}

static int sort(int unlucky)
{
    int numbers[] = { 5, 4, 3, unlucky, 2, 1 };

    qsort(numbers, 6, sizeof *numbers, compare_and_raise);
    return numbers[0];
}
PP_TASK(int, sort, int, unlucky);

CASE(raised_from_nested_functions)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_error *error = NULL;
    int smallest = 0, depth = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(deeper, 100, 0), &depth), 0);
    CHECK_EQ(depth, 100);
    CHECK_EQ(pp_apply(pool, PP_CALL(deeper, 100, 7), NULL, .error = &error), PP_ERAISED);
    check_error(error, 7, "deeper");
    free(error);
    CHECK_EQ(pp_apply(pool, PP_CALL(sort, 13), NULL), PP_ERAISED);
    CHECK_EQ(pp_apply(pool, PP_CALL(sort, 12), &smallest), 0);
    CHECK_EQ(smallest, 1);
    finish(pool);
}

/* The worker goes on; what the task had reserved is taken back. */
static int reserve_and_raise(size_t size)
{
    char *memory = pp_reserve(size);

    if (!memory)
        pp_raise(ENOMEM, "no memory");
    memory[size - 1] = 'x';
    pp_raise(1, "not now");
}
PP_TASK(int, reserve_and_raise, size_t, size);

CASE(raised_often)
{
    pp_pool *pool = new_pool(.processes = 1);
    pid_t pid = 0;

    for (int i = 0; i < 500; i++) {
        pp_error *error = NULL;

        CHECK_EQ(pp_apply(pool, PP_CALL(reserve_and_raise, 4 << 20), NULL, .error = &error),
                 PP_ERAISED);
        check_error(error, 1, "reserve_and_raise");
        CHECK(!pid || pid == error->pid);
        pid = error->pid;
        free(error);
    }
    check_works(pool);
    finish(pool);
}

static int raise_thread(int unused)
{
    pp_raise(gettid() + 0 * unused, "who I am");
}
PP_TASK(int, raise_thread, int, unused);

/* That of a process is that of its only thread. */
CASE(error_tells_who_ran_the_item)
{
    pp_pool *pool = new_pool(.processes = 3);
    int items[30] = { 0 };
    pp_result *result = pp_map_async(pool, raise_thread, items, 30, .chunksize = 1);

    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(pp_failures(result), 30);
    for (size_t i = 0; i < 30; i++)
        CHECK_EQ(pp_failure(result, i)->pid, pp_failure(result, i)->code);
    finish(pool);
}

CASE(no_error_when_there_is_none)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_error *error = NULL;
    long item = 3;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), NULL, .error = &error), 0);
    CHECK_EQ(pp_map(pool, square, &item, 1, NULL, .error = &error), 0);
    CHECK(!error);
    finish(pool);
}

/* Its block is the caller's, also when result and pool are gone. */
CASE(error_outlives_the_pool)
{
    pp_pool *pool = new_pool(.processes = 1);
    int codes[] = { 0, 0, 21, 22 };
    pp_error *error = NULL;

    CHECK_EQ(pp_map(pool, raise_code, codes, 4, NULL, .error = &error), PP_ERAISED);
    finish(pool);
    CHECK_EQ(error->index, 2);
    CHECK_EQ(error->code, 21);
    CHECK_STR(error->function, "raise_code");
    CHECK_HAS(error->message, "raised 21");
    free(error);
}

/* Of strings and bytes only those of items that succeeded are stored. */
static const char *echo_or_raise(const char *text)
{
    if (!text)
        pp_raise(EINVAL, "nothing to echo");
    return text;
}
PP_TASK(const char *, echo_or_raise, const char *, text);

CASE(outputs_of_failed_items_are_left_alone)
{
    pp_pool *pool = new_pool(.processes = 2);
    const char *items[] = { "a", NULL, "c", NULL }, *none = "left alone";
    const char *out[] = { none, none, none, none }, *single = none;

    CHECK_EQ(pp_map(pool, echo_or_raise, items, 4, out), PP_ERAISED);
    CHECK_STR(out[0], "a");
    CHECK_EQ(out[1], none);
    CHECK_STR(out[2], "c");
    CHECK_EQ(out[3], none);
    free((char *)out[0]);
    free((char *)out[2]);
    CHECK_EQ(pp_apply(pool, PP_CALL(echo_or_raise, NULL), &single), PP_ERAISED);
    CHECK_EQ(single, none);
    finish(pool);
}

/* Every code that functions return has words of its own. */
CASE(words_for_codes)
{
    static const int codes[] = {
        0,          PP_ERAISED, PP_ECRASHED, PP_ETIMELIMIT, PP_ECANCELLED,     PP_EBROKEN,
        -EINVAL,    -ECHILD,    -ESHUTDOWN,  -EDEADLK,      PP_STOP_ITERATION, -EBUSY,
        -ETIMEDOUT, -EALREADY,  -ENOMEM,      -ENOEXEC,      -ENOTRECOVERABLE,
    };

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        CHECK(pp_strerror(codes[i]) && *pp_strerror(codes[i]));
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(pp_strerror(codes[i]), pp_strerror(codes[j])) != 0);
    }
    CHECK(pp_strerror(12345) != NULL);
    CHECK_STR(pp_version(), "0.1.0");
}

CASE(raised_where_nothing_runs, .expect_signal = SIGABRT)
{
    pp_raise(1, "nobody catches this");
}
