/* SPDX-License-Identifier: MIT */
/* pp_raise(): a task's own error. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static int raise_code(int code)
{
    pp_raise(code, "code %d", code);
}
PP_TASK(int, raise_code, int, code);

static int go_down(int depth, const char *text);
static int (*volatile go_on)(int, const char *) = go_down; /* a call that stays a call */

static int go_down(int depth, const char *text)
{
    if (depth == 0)
        pp_raise(7, "%s", text);
    return go_on(depth - 1, text) + 1;
}
PP_TASK(int, go_down, int, depth, const char *, text);

static void raise_in_void(void)
{
    pp_raise(EINTR, "nothing");
}
PP_TASK(void, raise_in_void);

static const char *raise_from_string(const char *text)
{
    char *memory = pp_reserve(1000000); /* which nobody will need */

    memory[0] = '\0';
    pp_raise(1, "%s %s", text, memory);
}
PP_TASK(const char *, raise_from_string, const char *, text);

static pid_t process_id(void)
{
    return getpid();
}
PP_TASK(pid_t, process_id);

static int raise_odd(int x)
{
    if (x % 2)
        pp_raise(x, "odd: %d", x);
    return x;
}
PP_TASK(int, raise_odd, int, x);

TEST(any_code)
{
    static const int codes[] = { EDOM, 0, 1, -1, 123456, INT_MAX, INT_MIN };
    pp_pool *pool = pool_of(1);
    char message[32];

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        pp_error *error = NULL;

        snprintf(message, sizeof message, "code %d", codes[i]);
        CHECK_EQ(pp_apply(pool, PP_CALL(raise_code, codes[i]), NULL, .error = &error),
                 PP_ERAISED);
        CHECK_EQ(error->kind, PP_RAISED);
        CHECK_EQ(error->code, codes[i]);
        CHECK_EQ(error->signal, 0);
        CHECK_EQ(error->status, 0);
        CHECK_STR(error->function, "raise_code");
        CHECK_STR(error->message, message);
        free(error);
    }
    finish(pool);
}

static void check_message(pp_pool *pool, const char *text, const char *expected)
{
    pp_result *result = pp_apply_async(pool, PP_CALL(go_down, 0, text));

    CHECK_EQ(pp_get(result, NULL), PP_ERAISED);
    CHECK_STR(pp_error_of(result)->message, expected);
    pp_result_free(result);
}

TEST(messages)
{
    pp_pool *pool = pool_of(1);
    char text[3000];

    check_message(pool, "", "");
    check_message(pool, "100 %d %s %n", "100 %d %s %n");
    for (size_t length = 1; length < sizeof text; length += length < 1020 ? 60 : 1) {
        char expected[1024] = "";

        memset(text, 'm', length);
        text[length] = '\0';
        memcpy(expected, text, length < 1023 ? length : 1023);
        check_message(pool, text, expected);
        if (length > 1030)
            length += 500;
    }
    finish(pool);
}

TEST(from_deep_below)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(go_down, 1000, "deep"), NULL, .error = &error),
             PP_ERAISED);
    CHECK_STR(error->message, "deep");
    CHECK_STR(error->function, "go_down");
    free(error);
    finish(pool);
}

TEST(from_void)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_apply(pool, PP_CALL(raise_in_void), NULL), PP_ERAISED);
    finish(pool);
}

TEST(from_a_task_that_gives_a_string)
{
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 300; i++) {
        const char *text = NULL;

        CHECK_EQ(pp_apply(pool, PP_CALL(raise_from_string, "text"), &text), PP_ERAISED);
        CHECK_EQ(text, NULL);
    }
    finish(pool);
}

/* Raising is cheap: the worker goes on. */
TEST(worker_stays)
{
    pp_pool *pool = pool_of(1);
    pid_t before = 0, after = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &before), 0);
    for (int i = 0; i < 5000; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(raise_code, i));

        CHECK_EQ(pp_get(result, NULL), PP_ERAISED);
        CHECK_EQ(pp_error_of(result)->pid, before);
        pp_result_free(result);
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &after), 0);
    CHECK_EQ(before, after);
    finish(pool);
}

TEST(half_of_a_map, .timeout = 60)
{
    enum { COUNT = 10000 };
    int *items = calloc(COUNT, sizeof *items), *out = calloc(COUNT, sizeof *out);
    char message[32];
    pp_pool *pool = pool_of(2);
    pp_result *result;

    for (int i = 0; i < COUNT; i++)
        items[i] = i;
    result = pp_map_async(pool, raise_odd, items, COUNT);
    CHECK_EQ(pp_get(result, out), PP_ERAISED);
    CHECK_EQ(pp_failures(result), COUNT / 2);
    for (int i = 0; i < COUNT; i++)
        if (i % 2) {
            const pp_error *error = pp_failure(result, (size_t)i / 2);

            snprintf(message, sizeof message, "odd: %d", i);
            CHECK_EQ(out[i], 0);
            CHECK_EQ((long)error->index, i);
            CHECK_EQ(error->code, i);
            CHECK_STR(error->message, message);
        } else {
            CHECK_EQ(out[i], i);
        }
    finish(pool);
    free(items);
    free(out);
}

/* As an exception that nobody catches. */
TEST(outside_of_a_task, .expect_signal = SIGABRT)
{
    pp_raise(EDOM, "nobody catches this");
}

TEST(outside_of_a_task_says_so)
{
    char text[200] = "";
    int ends[2], status;

    CHECK_EQ(pipe(ends), 0);
    if (fork() == 0) {
        dup2(ends[1], STDERR_FILENO);
        pp_raise(EDOM, "nobody catches %s", "that");
    }
    close(ends[1]);
    for (size_t size = 0; size < sizeof text - 1;) {
        ssize_t got = read(ends[0], text + size, sizeof text - 1 - size);

        if (got <= 0)
            break;
        size += (size_t)got;
    }
    close(ends[0]);
    CHECK_HAS(text, "nobody catches that");
    CHECK(wait(&status) > 0);
    CHECK_EQ(WTERMSIG(status), SIGABRT);
}

static void raise_here(pp_result *result, void *user)
{
    (void)result;
    (void)user;
    pp_raise(EDOM, "in a callback");
}

TEST(in_a_callback, .expect_signal = SIGABRT)
{
    pp_pool *pool = pool_of(1);
    pp_result *result =
        pp_apply_async(pool, PP_CALL(process_id), .callback = raise_here);

    pp_wait(result);
    FAIL("there is no pp_raise() in a callback");
}
