/* SPDX-License-Identifier: MIT */
/*
 * The client is killed, or the supervisor, a few milliseconds after the start, while the
 * workers do what makes them hard to end.  Nothing of the pool may be left.  Prints a table:
 * how many processes were left, and after how long, at worst, the last of them was gone.
 *
 * The test is a subreaper: what is left of a pool becomes its child.
 */
#include <procpool.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "stubborn.h"
#include "support.h"
#include "trials.h"

enum { WORKERS = 4, KINDS = 4, START_US = 4000, GONE_WITHIN_S = 10 };

enum victim { CLIENT, SUPERVISOR, VICTIMS };

/* ---- Tasks ----------------------------------------------------------------------- */

_Noreturn static void stay(void)
{
    for (;;)
        pause();
}

/* As the books say: forked twice, in a session of its own, without descriptors. */
_Noreturn static void be_daemon(void)
{
    setsid();
    if (fork() > 0)
        _exit(0);
    for (int fd = 0; fd < 64; fd++)
        close(fd);
    stay();
}

/* Leaves behind, by turns: a session of its own, a daemon, another program. */
static int leave_others(atomic_int *running)
{
    static atomic_int *counter;
    int turn;

    counter = running + 1;
    turn = atomic_fetch_add(counter, 1) % 3;
    if (fork() == 0) {
        if (turn == 0)
            setsid();
        if (turn == 1)
            be_daemon();
        if (turn == 2)
            execl("/bin/sleep", "sleep", "1000", NULL);
        stay();
    }
    atomic_fetch_add(running, 1);
    stay();
}
PP_TASK(int, leave_others, atomic_int *, running);

static const struct kind {
    const char *name;
    const pp_task *task;
} kinds[KINDS] = {
    { "spinning", &be_busy_pp_task },
    { "stopped", &be_stopped_pp_task },
    { "ignoring signals", &be_deaf_pp_task },
    { "leaving daemons", &leave_others_pp_task },
};

/* ---- The client -------------------------------------------------------------------- */

/* A child of the client's own, which has nothing to do with the pool. */
static pid_t have_bystander(bool own_session)
{
    pid_t client = getpid(), pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (own_session)
            setsid();
        if (getppid() != client)
            _exit(1);
        stay();
    }
    return pid;
}

static void end_bystander(pid_t pid)
{
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0); /* nobody has killed it */
    kill(pid, SIGKILL);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

/* Keeps all of a pool busy, and sees it end. */
static void use(pp_pool *pool, const struct kind *kind, atomic_int *running)
{
    pp_result *results[WORKERS];
    PP_ARGS(be_busy) args = { running };

    for (int i = 0; i < WORKERS; i++) {
        results[i] = pp_apply_async_with(pool, (pp_call){ kind->task, &args }, NULL);
        if (!results[i])
            CHECK_EQ(errno, ENOTRECOVERABLE);
    }
    for (int i = 0; i < WORKERS; i++)
        if (results[i])
            CHECK_EQ(pp_get(results[i], NULL), PP_ECRASHED);
    CHECK_EQ(pp_pool_free(pool), 0);
}

_Noreturn static void be_client(const struct kind *kind, atomic_int *running)
{
    pid_t older = have_bystander(true), younger;
    pp_pool *pool = pp_pool_new(.processes = WORKERS);

    if (!pool)
        CHECK_EQ(errno, ENOTRECOVERABLE);
    younger = have_bystander(false);
    if (pool)
        use(pool, kind, running);
    end_bystander(older);
    end_bystander(younger);
    _exit(0);
}

/* ---- Deaths ------------------------------------------------------------------------ */

/* The second child of a client, which the supervisor is; 0 while there is none. */
static pid_t supervisor_of(pid_t client)
{
    char path[64];
    FILE *file;
    int bystander, pid = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", client, client);
    file = fopen(path, "re");
    if (file && fscanf(file, "%d %d", &bystander, &pid) != 2)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

/* Reaps what there is; whether nothing is left.  A client that was not killed says by its
   status whether it saw what it should. */
static bool all_gone(pid_t client, enum victim victim)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
        if (pid == client && victim == SUPERVISOR)
            CHECK_EQ(status, 0);
    return pid < 0 && errno == ECHILD;
}

/* How many are still there after so long, which then are ended. */
static size_t count_left(pid_t client, enum victim victim, double *took)
{
    double killed = harness_now(), end = killed + GONE_WITHIN_S * harness_time_factor();
    struct harness_process list[64];
    size_t left = 0;

    while (!all_gone(client, victim) && harness_now() < end)
        usleep(100);
    *took = harness_now() - killed;
    while (!all_gone(client, victim)) {
        size_t count = harness_others(list, 64);

        left = count > left ? count : left;
        for (size_t i = 0; i < count && i < 64; i++)
            kill(list[i].pid, SIGKILL);
        harness_nap();
    }
    return left;
}

struct cell {
    size_t left;
    double longest;
};

/* Every other time the 4 ms begin when all workers are at it, otherwise at the start. */
static void run_once(enum victim victim, const struct kind *kind, bool at_work,
                     unsigned long delay, struct cell *cell)
{
    atomic_int *running = shared_new(2 * sizeof *running);
    pid_t client, target;
    double took;

    fflush(NULL);
    client = fork();
    CHECK(client >= 0);
    if (client == 0)
        be_client(kind, running);
    target = client;
    while (victim == SUPERVISOR && (target = supervisor_of(client)) == 0)
        ;
    if (at_work)
        CHECK_SOON(atomic_load(running) >= WORKERS);
    pass_time(delay);
    CHECK_EQ(kill(target, SIGKILL), 0);
    cell->left += count_left(client, victim, &took);
    if (took > cell->longest)
        cell->longest = took;
    shared_free(running, 2 * sizeof *running);
}

static void print_table(struct cell cells[VICTIMS][KINDS], unsigned times)
{
    static const char *const killed[VICTIMS] = { "client", "supervisor" };

    printf("%-12s", "killed");
    for (int kind = 0; kind < KINDS; kind++)
        printf(" | %20s", kinds[kind].name);
    for (int victim = 0; victim < VICTIMS; victim++) {
        printf("\n%-12s", killed[victim]);
        for (int kind = 0; kind < KINDS; kind++)
            printf(" | %3zu left, %6.1f ms", cells[victim][kind].left,
                   cells[victim][kind].longest * 1e3);
    }
    printf("\n(%u runs each; the longest until all were gone)\n", times);
}

TEST(orphan_matrix, .timeout = 3000)
{
    struct cell cells[VICTIMS][KINDS] = { 0 };
    unsigned times = trials(6, 1000);
    unsigned long seed = choose_seed();
    size_t left = 0;

    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (int victim = 0; victim < VICTIMS; victim++)
        for (int kind = 0; kind < KINDS; kind++) {
            for (unsigned i = 0; i < times; i++)
                run_once((enum victim)victim, &kinds[kind], i % 2,
                         next_random(&seed) % START_US, &cells[victim][kind]);
            fprintf(stderr, "orphans: %s, %s: %u runs\n", victim ? "supervisor" : "client",
                    kinds[kind].name, times);
            left += cells[victim][kind].left;
        }
    print_table(cells, times);
    CHECK_EQ(left, 0);
}
