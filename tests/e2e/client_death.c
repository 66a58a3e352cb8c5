/* SPDX-License-Identifier: MIT */
/* The client is killed, or ends in another way: nothing of its pools stays behind. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* What is said to end within a second, made longer by slow environments only. */
enum { GONE_WITHIN_S = 1 };

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static int spin(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    for (volatile bool forever = true; forever;)
        ;
    return 0;
}
PP_TASK(int, spin, struct gate *, gate);

/* Does all that a task can do to stay alive. */
static int cling_to_life(struct gate *gate)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, 0);
    setsid();
    return spin(gate);
}
PP_TASK(int, cling_to_life, struct gate *, gate);

static int ignore_signals(struct gate *gate)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_IGN);
    return spin(gate);
}
PP_TASK(int, ignore_signals, struct gate *, gate);

/* Runs body in a process of its own, whose pool it is then. */
static pid_t start_client(void (*body)(struct gate *), struct gate *gate)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        body(gate);
        for (;;)
            pause();
    }
    return pid;
}

static void kill_client(pid_t pid)
{
    int status;

    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WTERMSIG(status), SIGKILL);
}

/* The client comes to the gate `waiting` times, itself or by its tasks, and is
   killed; then there is soon nothing left of it. */
static void check_gone(void (*body)(struct gate *), int waiting)
{
    struct gate *gate = gate_new();
    pid_t client = start_client(body, gate);

    CHECK_SOON(atomic_load(&gate->waiting) == waiting);
    CHECK_EQ(processes(), 4); /* client, supervisor, two workers */
    kill_client(client);
    CHECK_WITHIN(GONE_WITHIN_S, processes() == 0);
    gate_free(gate);
}

static void be_idle(struct gate *gate)
{
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), NULL), 0);
    atomic_fetch_add(&gate->waiting, 1);
}

TEST(client_with_idle_workers)
{
    check_gone(be_idle, 1);
}

static void be_busy(struct gate *gate)
{
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 1000; i++)
        CHECK(pp_apply_async(pool, PP_CALL(spin, gate)));
}

TEST(client_with_busy_workers)
{
    check_gone(be_busy, 2);
}

static void be_ignored(struct gate *gate)
{
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 2; i++)
        CHECK(pp_apply_async(pool, PP_CALL(ignore_signals, gate)));
}

TEST(client_with_workers_that_ignore_signals)
{
    check_gone(be_ignored, 2);
}

static void be_clung_to(struct gate *gate)
{
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 2; i++)
        CHECK(pp_apply_async(pool, PP_CALL(cling_to_life, gate)));
}

TEST(client_with_workers_that_cling_to_life)
{
    check_gone(be_clung_to, 2);
}

/* The pool was closed and drains: it is ended all the same. */
static void be_closed(struct gate *gate)
{
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 2; i++)
        CHECK(pp_apply_async(pool, PP_CALL(spin, gate)));
    CHECK_EQ(pp_close(pool), 0);
}

TEST(client_that_had_closed)
{
    check_gone(be_closed, 2);
}

static void leave_child(struct gate *gate)
{
    if (fork() == 0)
        execl("/bin/sleep", "sleep", "1000", (char *)NULL);
    atomic_fetch_add(&gate->waiting, 1);
    for (;;)
        pause();
}

static int leave_process(struct gate *gate)
{
    leave_child(gate);
    return 0;
}
PP_TASK(int, leave_process, struct gate *, gate);

static void have_left_behind(struct gate *gate)
{
    pp_pool *pool = pool_of(2);

    CHECK(pp_apply_async(pool, PP_CALL(leave_process, gate)));
}

/* What tasks have started goes as well. */
TEST(client_whose_tasks_have_children)
{
    struct gate *gate = gate_new();
    pid_t client = start_client(have_left_behind, gate);

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(processes(), 5);
    kill_client(client);
    CHECK_WITHIN(GONE_WITHIN_S, processes() == 0);
    gate_free(gate);
}

/* A child of the client's own holds copies of whatever descriptors and mappings
   there were: the end of the client is not taken from these. */
static void have_child(struct gate *gate)
{
    pp_pool *pool = pool_of(2);

    if (fork() == 0)
        for (;;)
            pause();
    CHECK(pp_apply_async(pool, PP_CALL(spin, gate)));
}

TEST(client_whose_child_lives_on)
{
    struct gate *gate = gate_new();
    struct harness_process left[8];
    pid_t client = start_client(have_child, gate);

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(processes(), 5);
    kill_client(client);
    CHECK_WITHIN(GONE_WITHIN_S, processes() == 1);
    CHECK_EQ(harness_others(left, 8), 1);
    CHECK_EQ(kill(left[0].pid, SIGKILL), 0);
    gate_free(gate);
}

/* The thread that made the pool is not the client: it ends, the pool goes on, and
   the pool ends with the last of the client's threads. */
static void *make_pool(void *gate)
{
    be_busy(gate);
    return NULL;
}

static void have_thread(struct gate *gate)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, make_pool, gate), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(client_of_several_threads)
{
    check_gone(have_thread, 2);
}

static void exit_without_free(struct gate *gate)
{
    be_busy(gate);
    while (atomic_load(&gate->waiting) < 2)
        usleep(100);
    _exit(0);
}

TEST(client_that_exits)
{
    struct gate *gate = gate_new();
    pid_t client = start_client(exit_without_free, gate);
    int status;

    CHECK_EQ(waitpid(client, &status, 0), client);
    CHECK_EQ(status, 0);
    CHECK_WITHIN(GONE_WITHIN_S, processes() == 0);
    gate_free(gate);
}

/* At any moment of making, using and freeing pools. */
static void make_pools(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    for (;;) {
        pp_pool *pool = pool_of(2);

        pp_apply_async(pool, PP_CALL(square, 3));
        pp_apply(pool, PP_CALL(square, 3), NULL);
        if (atomic_fetch_add(&gate->passed, 1) % 2)
            pp_close(pool);
        pp_pool_free(pool);
    }
}

TEST(client_at_any_moment, .timeout = 120)
{
    struct gate *gate = gate_new();
    unsigned long seed = (unsigned long)(harness_now() * 1e6);

    for (int i = 0; i < 100; i++) {
        pid_t client;

        atomic_store(&gate->waiting, 0);
        client = start_client(make_pools, gate);
        CHECK_SOON(atomic_load(&gate->waiting) == 1);
        usleep((unsigned)(next_random(&seed) % 20000));
        kill_client(client);
        CHECK_WITHIN(GONE_WITHIN_S, processes() == 0);
    }
    gate_free(gate);
}
