/* SPDX-License-Identifier: MIT */
/*
 * The harness tested with itself: runs the program must_fail, which stands beside
 * this one, and checks that each of its tests is reported as it should be.
 */
#include <libgen.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* What a run of must_fail printed on standard output, and how it ended. */
struct run {
    char text[16384];
    int status;
};

static void be_must_fail(int out, char *const *args)
{
    char path[4096] = "";
    char program[4200];

    dup2(out, STDOUT_FILENO);
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0)
        _exit(126);
    snprintf(program, sizeof program, "%s/must_fail", dirname(path));
    execv(program, args);
    _exit(127);
}

static void run(struct run *result, char *const *args)
{
    size_t size = 0;
    ssize_t got;
    int ends[2];
    pid_t pid;

    CHECK_EQ(pipe(ends), 0);
    pid = fork();
    if (pid == 0)
        be_must_fail(ends[1], args);
    close(ends[1]);
    while ((got = read(ends[0], result->text + size, sizeof result->text - size - 1)) > 0)
        size += (size_t)got;
    result->text[size] = '\0';
    close(ends[0]);
    CHECK_EQ(waitpid(pid, &result->status, 0), pid);
    CHECK(WIFEXITED(result->status));
    result->status = WEXITSTATUS(result->status);
}

static void run_one(struct run *result, const char *test)
{
    char name[64];

    snprintf(name, sizeof name, "%s", test);
    run(result, (char *[]){ (char[]){ "must_fail" }, name, NULL });
}

/* Runs one test, which is to fail and whose line is to hold this. */
static void fails_with(const char *test, const char *why)
{
    struct run result;
    char start[64];

    run_one(&result, test);
    snprintf(start, sizeof start, "FAIL %s: ", test);
    CHECK_EQ(strncmp(result.text, start, strlen(start)), 0);
    CHECK_HAS(result.text, why);
    CHECK_HAS(result.text, "\n0 passed, 1 failed\n");
    CHECK_EQ(result.status, 1);
}

static void passes(const char *test)
{
    struct run result;
    char start[64];

    run_one(&result, test);
    snprintf(start, sizeof start, "ok %s (", test);
    CHECK_EQ(strncmp(result.text, start, strlen(start)), 0);
    CHECK_HAS(result.text, " ms)\n1 passed, 0 failed\n");
    CHECK_EQ(result.status, 0);
}

/* With a file of exceptions of these lines. */
static void run_with_exceptions(struct run *result, const char *test, const char *lines)
{
    char path[] = "/tmp/exceptions-XXXXXX";
    int fd = mkstemp(path);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, lines, strlen(lines)), (ssize_t)strlen(lines));
    close(fd);
    setenv("TEST_EXCEPTIONS", path, 1);
    run_one(result, test);
    unsetenv("TEST_EXCEPTIONS");
    unlink(path);
}

TEST(exceptions_are_left_out)
{
    struct run result;

    run_with_exceptions(&result, "crashes", "# why\nother crashes no\nmust_fail crashes it does\n");
    CHECK_STR(result.text, "skip crashes: it does\n0 passed, 0 failed, 1 skipped\n");
    CHECK_EQ(result.status, 77);
    run_with_exceptions(&result, "crashes", "must_fail * all do\n");
    CHECK_HAS(result.text, "skip crashes: all do\n");
    run_with_exceptions(&result, "passes", "#must_fail passes no\nmust_fail crashes it does\n");
    CHECK_HAS(result.text, "1 passed, 0 failed\n");
    run_with_exceptions(&result, "passes", "must_fail passes\n"); /* without a reason */
    CHECK_HAS(result.text, "1 passed, 0 failed\n");
}

#define MUST_FAIL(test, why)                                                               \
    TEST(must_fail_##test)                                                                 \
    {                                                                                      \
        fails_with(#test, why);                                                            \
    }

#define MUST_PASS(test)                                                                    \
    TEST(must_pass_##test)                                                                 \
    {                                                                                      \
        passes(#test);                                                                     \
    }

MUST_PASS(passes)
MUST_PASS(passes_and_tidies_up)
MUST_PASS(passes_with_a_late_end)
MUST_PASS(passes_by_dying)

MUST_FAIL(leaks_child, ": leaked process ")
MUST_FAIL(leaks_grandchild, ": leaked process ")
MUST_FAIL(leaks_zombie, ": leaked zombie ")
MUST_FAIL(leaks_descriptor, ": leaked descriptor ")
MUST_FAIL(closes_descriptor, ": closed descriptor 0 ")
MUST_FAIL(replaces_descriptor, ": leaked descriptor 0 (/dev/full, was ")
MUST_FAIL(leaks_shared_mapping, ": leaked mapping: ")
MUST_FAIL(leaks_memfd_mapping, "/memfd:forgotten")
MUST_FAIL(leaks_thread, ": leaked thread: ")

MUST_FAIL(fails_check, ": not true: 1 + 1 == 3")
MUST_FAIL(fails_check_eq, ": 1 + 1 is 2, not 3 (3)")
MUST_FAIL(fails_check_eq_of_signs, ": -1 is -1, not 4294967295 (~0u)")
MUST_FAIL(fails_check_str, ": \"one\" is \"one\", not \"two\" (\"two\")")
MUST_FAIL(fails_check_null, "errno is 12 (Cannot allocate memory), not 22 (Invalid")
MUST_FAIL(fails_check_soon, ": not true after 0.01 s: errno == -1")
MUST_FAIL(fails_in_child, ": 6 * 9 is 54, not 42 (42)")
MUST_FAIL(fails_in_thread, ": from a thread")

MUST_FAIL(crashes, ": killed by SIGBUS")
MUST_FAIL(exits_early, ": the test's process ended before the test did")
MUST_FAIL(exits_with_status, ": exit status 3")
MUST_FAIL(fails_at_exit, ": exit status 23")
MUST_FAIL(outlives_expected_signal, ": ended with status 0 instead of SIGABRT")
MUST_FAIL(dies_of_other_signal, ": killed by SIGKILL")
MUST_FAIL(leaves_child_when_it_dies, ": leaked process ")

MUST_FAIL(takes_too_long, ": time limit of ")
MUST_FAIL(takes_too_long_with_its_family, ": time limit of ")

/* That a failed check names its place. */
TEST(says_where)
{
    struct run result;

    run_one(&result, "fails_check");
    CHECK_HAS(result.text, "FAIL fails_check: must_fail.c:");
}

TEST(skipped_only)
{
    struct run result;

    run_one(&result, "skips");
    CHECK_HAS(result.text, "skip skips: there is no moon here\n");
    CHECK_HAS(result.text, "\n0 passed, 0 failed, 1 skipped\n");
    CHECK_EQ(result.status, 77);
}

TEST(some_of_each)
{
    char program[] = "must_fail", skips[] = "skips", passes[] = "passes";
    char crashes[] = "crashes";
    struct run result;

    run(&result, (char *[]){ program, skips, passes, crashes, NULL });
    CHECK_HAS(result.text, "\n1 passed, 1 failed, 1 skipped\n");
    CHECK_EQ(result.status, 1);
    run(&result, (char *[]){ program, skips, passes, NULL });
    CHECK_HAS(result.text, "\n1 passed, 0 failed, 1 skipped\n");
    CHECK_EQ(result.status, 0);
}

TEST(list)
{
    struct run result;

    run_one(&result, "--list");
    CHECK_HAS(result.text, "passes\npasses_and_tidies_up\n");
    CHECK_HAS(result.text, "\ntakes_too_long_with_its_family\n");
    CHECK_EQ(result.status, 0);
}

TEST(unknown_test)
{
    struct run result;

    run_one(&result, "no_such_test");
    CHECK_STR(result.text, "");
    CHECK_EQ(result.status, 2);
}

/* A runner that is told to end takes its test's processes with it. */
TEST(ended_from_outside)
{
    struct harness_process list[16];
    int status;
    pid_t pid = fork();

    if (pid == 0)
        be_must_fail(STDERR_FILENO, (char *[]){ (char[]){ "must_fail" },
                                                (char[]){ "takes_too_long_with_its_family" },
                                                NULL });
    CHECK_SOON(harness_descendants(pid, list, 16) >= 4);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}
