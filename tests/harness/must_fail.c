/* SPDX-License-Identifier: MIT */
/*
 * Tests that the harness must not let pass, each for its own reason, and a few
 * that it must: harness_test.c runs them and reads what is said about them.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

_Noreturn static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

TEST(passes)
{
    CHECK(1);
    CHECK_EQ(1 + 1, 2);
    CHECK_EQ(sizeof(char), 1);
    CHECK_EQ(0.5, 0.5f);
    CHECK_EQ((char *)NULL, NULL);
    CHECK_STR("text", "text");
    CHECK_HAS("some text", "text");
    CHECK_SOON(1);
}

TEST(passes_and_tidies_up)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    CHECK(fd >= 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(close(fd), 0);
}

/* What ends by itself a moment later is not a leak. */
TEST(passes_with_a_late_end)
{
    if (fork() == 0) {
        if (fork() == 0) {
            usleep(200000);
            _exit(0);
        }
        _exit(0);
    }
    CHECK(wait(NULL) > 0);
}

TEST(passes_by_dying, .expect_signal = SIGABRT)
{
    abort();
}

TEST(skips)
{
    SKIP("there is no %s here", "moon");
}

TEST(leaks_child)
{
    if (fork() == 0)
        sleep_for_ever();
}

/* Not a child of the test any more, nor in its session. */
TEST(leaks_grandchild)
{
    if (fork() == 0) {
        if (fork() == 0) {
            setsid();
            sleep_for_ever();
        }
        _exit(0);
    }
    CHECK(wait(NULL) > 0);
}

TEST(leaks_zombie)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
}

TEST(leaks_descriptor)
{
    CHECK(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

TEST(closes_descriptor)
{
    CHECK_EQ(close(0), 0);
}

TEST(replaces_descriptor)
{
    int fd = open("/dev/full", O_RDWR | O_CLOEXEC);

    CHECK_EQ(dup2(fd, 0), 0);
    CHECK_EQ(close(fd), 0);
}

TEST(leaks_shared_mapping)
{
    CHECK(mmap(NULL, 8192, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

TEST(leaks_memfd_mapping)
{
    int fd = memfd_create("forgotten", MFD_CLOEXEC);

    CHECK_EQ(ftruncate(fd, 4096), 0);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    CHECK_EQ(close(fd), 0);
}

static void *wait_in_thread(void *unused)
{
    (void)unused;
    sleep_for_ever();
}

TEST(leaks_thread)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, wait_in_thread, NULL), 0);
    CHECK_EQ(pthread_detach(thread), 0);
}

TEST(fails_check)
{
    CHECK(1 + 1 == 3);
}

TEST(fails_check_eq)
{
    CHECK_EQ(1 + 1, 3);
}

TEST(fails_check_eq_of_signs)
{
    CHECK_EQ(-1, ~0u);
}

TEST(fails_check_str)
{
    CHECK_STR("one", "two");
}

TEST(fails_check_null)
{
    CHECK_NULL((errno = ENOMEM, NULL), EINVAL);
}

TEST(fails_check_soon)
{
    CHECK_WITHIN(0.01, errno == -1);
}

TEST(fails_in_child)
{
    pid_t pid = fork();

    if (pid == 0)
        CHECK_EQ(6 * 9, 42);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void *fail_in_thread(void *unused)
{
    (void)unused;
    FAIL("from a thread");
}

TEST(fails_in_thread)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, fail_in_thread, NULL), 0);
    pthread_join(thread, NULL);
}

TEST(crashes)
{
    signal(SIGBUS, SIG_DFL); /* sanitizers have a handler for it */
    raise(SIGBUS);
}

TEST(exits_early)
{
    exit(0);
}

TEST(exits_with_status)
{
    _exit(3);
}

/* As a leak checker does at the end of a process. */
static void complain(void)
{
    _exit(23);
}

TEST(fails_at_exit)
{
    CHECK_EQ(atexit(complain), 0);
}

TEST(outlives_expected_signal, .expect_signal = SIGABRT)
{
    CHECK(1);
}

TEST(dies_of_other_signal, .expect_signal = SIGABRT)
{
    raise(SIGKILL);
}

TEST(leaves_child_when_it_dies, .expect_signal = SIGKILL)
{
    if (fork() == 0)
        sleep_for_ever();
    raise(SIGKILL);
}

TEST(takes_too_long, .timeout = 0.3)
{
    sleep_for_ever();
}

/* Nothing but SIGKILL, sent to each by its number, ends these. */
TEST(takes_too_long_with_its_family, .timeout = 0.3)
{
    sigset_t all;

    sigfillset(&all);
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            setsid();
            signal(SIGTERM, SIG_IGN);
            sigprocmask(SIG_BLOCK, &all, NULL);
            fork();
            sleep_for_ever();
        }
    sleep_for_ever();
}
