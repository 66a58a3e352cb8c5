/* SPDX-License-Identifier: MIT */
/* Quiet children, pidfds and what is read from /proc. */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void watch_children(void)
{
    struct sigaction action = { .sa_handler = count_signal };

    CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
}

/* A quiet child that ends at once, or when it is killed. */
static pid_t make_child(bool stays)
{
    pid_t pid = ppi_fork_quiet();

    CHECK(pid >= 0);
    if (pid == 0) {
        while (stays)
            pause();
        _exit(7);
    }
    return pid;
}

static int pidfd_of(pid_t pid)
{
    int pidfd = ppi_pidfd_open(pid);

    CHECK(pidfd >= 0);
    CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    return pidfd;
}

static char state_of(pid_t pid)
{
    struct harness_process list[64];
    size_t count = harness_others(list, 64);

    for (size_t i = 0; i < count && i < 64; i++)
        if (list[i].pid == pid)
            return list[i].state;
    return 0;
}

/* ---- Quiet children ------------------------------------------------------ */

TEST(nobody_hears_of_a_quiet_child)
{
    pid_t pid;
    int pidfd;

    watch_children();
    pid = make_child(false);
    pidfd = pidfd_of(pid);
    CHECK_SOON(ppi_pidfd_dead(pidfd));
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(wait(NULL), -1);
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(signals, 0);
    CHECK_EQ(state_of(pid), 'Z');
    ppi_reap_quiet(pidfd);
    CHECK_EQ(state_of(pid), 0);
    CHECK_EQ(signals, 0);
    CHECK_EQ(close(pidfd), 0);
}

TEST(other_children_are_heard_of)
{
    int quiet, status;
    pid_t pid;

    watch_children();
    quiet = pidfd_of(make_child(true));
    pid = fork();
    if (pid == 0)
        _exit(3);
    while (waitpid(-1, &status, 0) < 0)
        CHECK_EQ(errno, EINTR);
    CHECK_EQ(WEXITSTATUS(status), 3);
    CHECK_EQ(signals, 1);
    CHECK_EQ(ppi_kill_children(), 1);
    ppi_reap_quiet(quiet);
    CHECK_EQ(close(quiet), 0);
}

static void *kill_later(void *pid)
{
    harness_nap();
    kill((pid_t)(intptr_t)pid, SIGKILL);
    return NULL;
}

TEST(reaping_waits)
{
    pid_t pid = make_child(true);
    int pidfd = pidfd_of(pid);
    pthread_t thread;

    CHECK(!ppi_pidfd_dead(pidfd));
    CHECK_EQ(pthread_create(&thread, NULL, kill_later, (void *)(intptr_t)pid), 0);
    ppi_reap_quiet(pidfd);
    CHECK_EQ(state_of(pid), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(close(pidfd), 0);
}

TEST(ordinary_children_are_reaped_too)
{
    pid_t pid = fork();
    int pidfd;

    if (pid == 0)
        _exit(0);
    pidfd = pidfd_of(pid);
    ppi_reap_quiet(pidfd);
    CHECK_EQ(state_of(pid), 0);
    ppi_reap_quiet(pidfd); /* somebody else was faster: it does not wait */
    CHECK_EQ(close(pidfd), 0);
}

TEST(the_dead_keep_their_number)
{
    pid_t pid = make_child(false);
    int pidfd = pidfd_of(pid);

    CHECK_EQ(ppi_await_unreaped(pidfd), pid);
    CHECK_EQ(state_of(pid), 'Z');
    CHECK_EQ(ppi_await_unreaped(pidfd), pid);
    ppi_reap_quiet(pidfd);
    CHECK_EQ(ppi_await_unreaped(pidfd), 0);
    CHECK_EQ(close(pidfd), 0);
}

TEST(there_is_no_pidfd_of_nobody)
{
    CHECK(ppi_pidfd_open(0) < 0);
    CHECK_EQ(ppi_pidfd_open(0x3fffffff), -ESRCH);
}

/* ---- Who is exiting ------------------------------------------------------ */

static void *stay(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

/* A child that exits like this, dead and not waited for. */
static pid_t make_dead(int signal, int status)
{
    pid_t pid = fork();
    siginfo_t info;

    if (pid == 0) {
        prctl(PR_SET_NAME, ") Z 1 (0 4 4");
        if (signal)
            raise(signal);
        _exit(status);
    }
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return pid;
}

TEST(what_proc_says_is_read)
{
    struct ppi_process self, child;
    pid_t pid = make_dead(SIGKILL, 0);

    CHECK(ppi_read_process(getpid(), &self) && ppi_read_process(pid, &child));
    CHECK_EQ(self.state, 'R');
    CHECK_EQ(self.parent, getppid());
    CHECK_EQ(self.threads, 1);
    CHECK_EQ(child.state, 'Z');
    CHECK_EQ(child.parent, getpid());
    CHECK_EQ(child.session, getsid(0));
    CHECK_EQ(child.exit_code, SIGKILL);
    CHECK(self.begun > 0 && child.begun >= self.begun);
    waitpid(pid, NULL, 0);
    CHECK(!ppi_read_process(pid, &child)); /* it is no more */
}

TEST(how_it_exits_is_known)
{
    int status = 0;
    pid_t pid = make_dead(SIGKILL, 0);

    CHECK(ppi_is_exiting(pid, &status));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    waitpid(pid, NULL, 0);
    pid = make_dead(0, 3);
    CHECK(ppi_is_exiting(pid, &status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    waitpid(pid, NULL, 0);
    CHECK(!ppi_is_exiting(pid, &status)); /* it is no more */
}

TEST(not_known_of_those_that_exit_well)
{
    pid_t pid = make_dead(0, 0);
    int status;

    CHECK(!ppi_is_exiting(pid, &status));
    waitpid(pid, NULL, 0);
}

TEST(the_living_are_not_exiting)
{
    pid_t pid = make_child(true);
    int pidfd = pidfd_of(pid), status;

    CHECK(!ppi_is_exiting(pid, &status));
    kill(pid, SIGSTOP);
    CHECK_SOON(state_of(pid) == 'T');
    CHECK(!ppi_is_exiting(pid, &status));
    CHECK_EQ(ppi_kill_children(), 1);
    ppi_reap_quiet(pidfd);
    close(pidfd);
    CHECK(!ppi_is_exiting(getpid(), &status));
    CHECK(!ppi_is_exiting(1, &status));
}

/* In another namespace the number may be somebody else's. */
TEST(nor_are_others_children)
{
    int ends[2], status;
    pid_t parent, pid = 0;

    CHECK_EQ(pipe(ends), 0);
    parent = fork();
    if (parent == 0) {
        pid = make_dead(SIGKILL, 0);
        _exit(write(ends[1], &pid, sizeof pid) != sizeof pid || pause());
    }
    CHECK_EQ(read(ends[0], &pid, sizeof pid), sizeof pid);
    CHECK(state_of(pid) == 'Z' && !ppi_is_exiting(pid, &status));
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    CHECK_EQ(close(ends[0]) + close(ends[1]), 0);
    waitpid(pid, NULL, 0); /* if it is ours now */
}

/* Its first thread has ended, another has not: that may still write. */
TEST(nor_those_that_have_another_thread)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, stay, NULL) == 0)
            syscall(SYS_exit, 7); /* ends this thread */
        _exit(1);
    }
    CHECK_SOON(state_of(pid) == 'Z'); /* of the first thread */
    CHECK(!ppi_is_exiting(pid, &status));
    kill(pid, SIGKILL);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
}

/* ---- Killing all children ------------------------------------------------ */

TEST(all_children_are_killed)
{
    enum { CHILDREN = 20 };
    int pidfds[CHILDREN];

    CHECK_EQ(ppi_kill_children(), 0);
    for (int i = 0; i < CHILDREN; i++)
        pidfds[i] = pidfd_of(make_child(true));
    CHECK_EQ(ppi_kill_children(), CHILDREN);
    for (int i = 0; i < CHILDREN; i++) {
        ppi_reap_quiet(pidfds[i]);
        CHECK_EQ(close(pidfds[i]), 0);
    }
    CHECK_EQ(ppi_kill_children(), 0);
}

/* Those whose parent has died are the children of the next subreaper. */
TEST(adopted_children_are_killed)
{
    int status;
    pid_t pid;

    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid = fork();
    if (pid == 0) {
        if (fork() == 0)
            pause();
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_SOON(ppi_kill_children() == 1);
    CHECK(wait(&status) > 0);
    CHECK_EQ(WTERMSIG(status), SIGKILL);
}

/* ---- What /proc says ----------------------------------------------------- */

static void *check_not_single(void *unused)
{
    CHECK(!ppi_single_threaded());
    return unused;
}

TEST(threads_are_noticed)
{
    pthread_t thread;

    if (HARNESS_SANITIZED)
        SKIP("the sanitizer may have a thread of its own");
    CHECK(ppi_single_threaded());
    CHECK_EQ(pthread_create(&thread, NULL, check_not_single, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_SOON(ppi_single_threaded());
}

TEST(memory_available_is_plausible)
{
    size_t all = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    size_t available = ppi_memory_available();

    CHECK(available > (size_t)8 << 20);
    CHECK(available < 16 * all);
}
