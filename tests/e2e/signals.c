/* SPDX-License-Identifier: MIT */
/* The client's signals and children are its own; the workers start with a clean
   state of signals, and Ctrl-C is the client's to handle. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static int crash(int signal)
{
    raise(signal);
    return 0;
}
PP_TASK(int, crash, int, signal);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

static bool is_reserved(int signal)
{
    return signal == SIGKILL || signal == SIGSTOP || (signal > 31 && signal < SIGRTMIN);
}

static void note(int signal);

/* Whether a crash of it is reported: the library has a handler of its own. */
static bool is_reported(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
           signal == SIGABRT;
}

/* The first signal that is not handled as it should be in this process, or 0; -1 if one
   is blocked.  Whether SIGINT is ignored is not asked. */
static int odd_signal(void)
{
    sigset_t mask;

    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < SIGRTMAX; i++) {
        struct sigaction action;

        if (is_reserved(i))
            continue;
        if (sigismember(&mask, i))
            return -1;
        if (i == SIGINT || sigaction(i, NULL, &action) < 0)
            continue;
        if (is_reported(i) ? action.sa_handler == SIG_IGN || action.sa_handler == note
                           : action.sa_handler != SIG_DFL)
            return i;
    }
    return 0;
}
PP_TASK(int, odd_signal);

static atomic_int caught;

static void note(int signal)
{
    (void)signal;
    atomic_fetch_add(&caught, 1);
}

static void use(pp_pool *pool)
{
    long value = 0;

    for (int i = 0; i < 10; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(square, 5), &value), 0);
        CHECK_EQ(value, 25);
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(crash, SIGKILL), NULL), PP_ECRASHED);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 6), &value), 0);
    CHECK_EQ(value, 36);
}

static void ignore_result(pp_result *result, void *user)
{
    (void)result;
    (void)user;
}

struct dispositions {
    struct sigaction actions[65];
    sigset_t mask;
};

static void read_dispositions(struct dispositions *all)
{
    memset(all, 0, sizeof *all);
    for (int i = 1; i < 65; i++)
        sigaction(i, NULL, &all->actions[i]);
    pthread_sigmask(SIG_SETMASK, NULL, &all->mask);
}

static void check_unchanged(const struct dispositions *before)
{
    struct dispositions now;

    read_dispositions(&now);
    for (int i = 1; i < 65; i++) {
        CHECK(now.actions[i].sa_handler == before->actions[i].sa_handler);
        CHECK_EQ(now.actions[i].sa_flags, before->actions[i].sa_flags);
        CHECK_EQ(sigismember(&now.mask, i), sigismember(&before->mask, i));
    }
}

static void check_client_undisturbed(void)
{
    struct dispositions before;
    pp_pool *pool;

    read_dispositions(&before);
    pool = pool_of(2);
    check_unchanged(&before);
    use(pool);
    CHECK_EQ(pp_wait(pp_apply_async(pool, PP_CALL(square, 1), .callback = ignore_result)), 0);
    check_unchanged(&before);
    finish(pool);
    check_unchanged(&before);
}

TEST(clients_handlers_by_default)
{
    check_client_undisturbed();
}

TEST(clients_handlers_of_its_own)
{
    sigset_t some;

    for (int i = 1; i < 32; i++)
        if (!is_reserved(i))
            signal(i, i % 2 ? note : SIG_IGN);
    signal(SIGCHLD, note);
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigaddset(&some, SIGTERM);
    sigaddset(&some, SIGINT);
    pthread_sigmask(SIG_BLOCK, &some, NULL);
    check_client_undisturbed();
    CHECK_EQ(atomic_load(&caught), 0); /* no signal came of it either, not SIGCHLD */
}

static void check_worker_is_clean(pp_pool *pool)
{
    int odd = -2;

    CHECK_EQ(pp_apply(pool, PP_CALL(odd_signal), &odd), 0);
    CHECK_EQ(odd, 0);
}

/* Whatever the client's state is, also in replacements. */
TEST(workers_handlers)
{
    sigset_t all;
    pp_pool *pool;

    for (int i = 1; i < SIGRTMAX; i++)
        if (!is_reserved(i))
            signal(i, i % 2 ? note : SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pool = pool_of(1);
    check_worker_is_clean(pool);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash, SIGTERM), NULL), PP_ECRASHED);
    check_worker_is_clean(pool);
    finish(pool);
}

/* The pool's processes are not among the children that the client can wait for. */
TEST(no_children_to_wait_for)
{
    pp_pool *pool = pool_of(2);

    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(wait(NULL), -1);
    CHECK_EQ(errno, ECHILD);
    use(pool);
    CHECK_EQ(wait(NULL), -1);
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(wait(NULL), -1);
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* The client's own are. */
TEST(children_of_the_client)
{
    pp_pool *pool = pool_of(2);
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(7);
    use(pool);
    CHECK_EQ(wait(&status), pid);
    CHECK_EQ(WEXITSTATUS(status), 7);
    finish(pool);
}

static atomic_bool stop_reaping;

/* Takes all children that there are, of whatever kind. */
static void *reap_everything(void *unused)
{
    while (!atomic_load(&stop_reaping)) {
        while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
            ;
        usleep(100);
    }
    return unused;
}

TEST(client_that_reaps_everything)
{
    pthread_t reaper;

    CHECK_EQ(pthread_create(&reaper, NULL, reap_everything, NULL), 0);
    for (int i = 0; i < 20; i++) {
        pp_pool *pool = pool_of(2);

        use(pool);
        if (i % 2)
            CHECK_EQ(pp_pool_free(pool), 0);
        else
            finish(pool);
    }
    atomic_store(&stop_reaping, true);
    CHECK_EQ(pthread_join(reaper, NULL), 0);
}

/* Children that are never to be waited for must not become those of the pool. */
TEST(client_that_ignores_its_children)
{
    pp_pool *pool;

    signal(SIGCHLD, SIG_IGN);
    pool = pool_of(2);
    use(pool);
    finish(pool);
    CHECK_EQ(processes(), 0);
}

/* All processes of the foreground group get it: that is the client, and no other. */
TEST(ctrl_c)
{
    struct gate *gate = gate_new();
    struct census before, after;
    pp_pool *pool;
    pp_result *results[4];

    CHECK_EQ(setpgid(0, 0), 0);
    pool = pool_of(2);
    for (int i = 0; i < 4; i++)
        results[i] = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK(take_census(&before, 2));
    signal(SIGINT, note);
    CHECK_EQ(kill(0, SIGINT), 0);
    CHECK_SOON(atomic_load(&caught) == 1);
    CHECK_EQ(pp_wait(results[0], .timeout = 0.1), -ETIMEDOUT);
    gate_open(gate);
    for (int i = 0; i < 4; i++) {
        long value = 0;

        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, 9);
    }
    CHECK(take_census(&after, 2));
    CHECK_EQ(after.supervisor, before.supervisor);
    CHECK_EQ(after.workers[0] + after.workers[1], before.workers[0] + before.workers[1]);
    finish(pool);
    gate_free(gate);
}

/* Waits go on when they are interrupted. */
TEST(interrupted_waits, .timeout = 60)
{
    struct sigaction action = { .sa_handler = note }; /* without SA_RESTART */
    struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { 0 };
    struct gate *gate = gate_new();
    pp_pool *pool;
    pp_result *result;
    long value = 0;

    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    pool = pool_of(2);
    for (long i = 0; i < 1000; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(square, i), &value), 0);
        CHECK_EQ(value, i * i);
    }
    result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    CHECK_EQ(pp_get(result, &value, .timeout = 0.1), -ETIMEDOUT);
    gate_open(gate);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 9);
    finish(pool);
    CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
    CHECK(atomic_load(&caught) > 10);
    gate_free(gate);
}
