/* SPDX-License-Identifier: MIT */
/*
 * soak MINUTES [SEED]
 *
 * Pools at random work whose processes are killed at random, for so long; see scene.h for
 * who does what.  Prints how it goes every ten seconds, at the end what it has come to, and
 * "soak: passed" if nothing was lost, wrong or left behind.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <procpool.h>

#include "client.h"
#include "hang.h"
#include "killer.h"
#include "scene.h"

enum { TELL_EVERY_S = 10, GONE_WITHIN_S = 20 };
static double patience = 60; /* seconds without any step are a hang */

static unsigned long worker_kills(void)
{
    unsigned long sum = 0;

    for (int i = 0; i < HIT_SUPERVISOR; i++)
        sum += atomic_load(&scene->kills[i]);
    return sum;
}

static void tell(double begun)
{
    const struct totals *t = &scene->totals;

    fprintf(stderr,
            "soak: %.1f min, %lu rounds, %lu items, %lu kills, lost %lu (+%lu run again), own "
            "crashes %lu, limits %lu, cancelled %lu, worst answer %.1f ms, RSS %.1f MB\n",
            (now() - begun) / 60, t->rounds, t->items, worker_kills(), t->lost, t->again,
            t->crashed, t->timed_out, t->cancelled, t->worst_answer * 1e3,
            (double)t->rss_kb / 1024);
}

static void sum_up(double begun, bool passed)
{
    const struct totals *t = &scene->totals;

    printf("soak: %.1f minutes, %lu rounds, %lu calls and maps of %lu items; %lu resizes, %lu "
           "terminated amid work\n",
           (now() - begun) / 60, t->rounds, t->orders, t->items, t->resized, t->terminated);
    printf("soak: kills of workers: %lu, of which %lu in a task, %lu between or after, %lu "
           "before the first, %lu of spares; of supervisors: %lu\n",
           worker_kills(), scene->kills[HIT_RUNNING], scene->kills[HIT_RETURNED],
           scene->kills[HIT_FRESH], scene->kills[HIT_SPARE], scene->kills[HIT_SUPERVISOR]);
    printf("soak: items lost to them: %lu, run again: %lu; deaths told: %lu; worst answer after "
           "a kill: %.1f ms\n",
           t->lost, t->again, t->deaths, t->worst_answer * 1e3);
    printf("soak: items that crashed by themselves: %lu, raised: %lu, at their limit: %lu, "
           "cancelled: %lu, ended with their supervisor: %lu, in pools that gave up: %lu; "
           "freed unseen: %lu\n",
           t->crashed, t->raised, t->timed_out, t->cancelled, t->ended, t->broken, t->unseen);
    printf("soak: memory of the client: RSS %.1f MB at first, %.1f at the end; heap in use "
           "%.1f and %.1f KB\n",
           (double)t->rss_base_kb / 1024, (double)t->rss_kb / 1024, (double)t->heap_base / 1024,
           (double)t->heap / 1024);
    if (passed)
        printf("soak: kills = %lu, items = %lu, losses = 0, wrong = 0, leaks = 0\nsoak: passed\n",
               worker_kills(), t->items);
    fflush(stdout);
}

static pid_t start_client(uint64_t seed, double seconds)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_client(seed, seconds);
        fflush(NULL);
        _exit(0);
    }
    return pid;
}

/* What pools leave behind would be this process's child when its own parent is gone. */
static bool only_child(pid_t client)
{
    pid_t list[MOST_CHILDREN];
    unsigned count = children_of(getpid(), list, MOST_CHILDREN), others = 0;

    for (unsigned i = 0; i < count; i++)
        others += list[i] != client && waitpid(list[i], NULL, WNOHANG | __WALL) != list[i];
    return others == 0;
}

/* Between two rounds nobody may be left but the client; it is waited for. */
static void check_orphans(pid_t client)
{
    double end = now() + GONE_WITHIN_S;

    if (atomic_load(&scene->stage) != FREED)
        return;
    while (!only_child(client)) {
        if (now() > end) {
            describe_all();
            WRONG("processes of a pool are left %d s after it was freed", GONE_WITHIN_S);
        }
        if (waitpid(client, NULL, WNOHANG | WNOWAIT) != 0)
            return;
        pause_us(500);
    }
    atomic_store(&scene->stage, SETTING_UP);
}

_Noreturn static void hang(const char *what, double seconds)
{
    fprintf(stderr, "soak: HANG: nothing has %s for %.0f s\n", what, seconds);
    describe_all();
    WRONG("it hangs");
}

/* When something of this kind was seen last. */
struct pulse {
    unsigned long count;
    double last;
};

static double silence(struct pulse *pulse, unsigned long count)
{
    if (count != pulse->count || pulse->last == 0) {
        pulse->count = count;
        pulse->last = now();
    }
    return now() - pulse->last;
}

/* Items may begin for a while before a long map ends, but not for ever. */
static void check_hang(struct pulse *begun, struct pulse *ended)
{
    unsigned long steps = atomic_load(&scene->steps);

    if (silence(begun, steps + atomic_load(&scene->begun)) > patience)
        hang("begun or ended", patience);
    if (silence(ended, steps) > 10 * patience)
        hang("ended", 10 * patience);
}

/* Until the client has ended; its status. */
static int conduct(pid_t client, uint64_t seed, double begun, double seconds)
{
    struct pulse begins = { 0 }, ends = { 0 };
    double told = now();
    int status;

    for (;;) {
        pause_us(kill_some(client, &seed));
        check_orphans(client);
        if (waitpid(client, &status, WNOHANG) == client)
            return status;
        if (now() - begun > seconds)
            atomic_store(&scene->stop, true);
        if (now() - told > TELL_EVERY_S) {
            told = now();
            tell(begun);
        }
        check_hang(&begins, &ends);
    }
}

static void usage(void)
{
    fprintf(stderr, "usage: soak MINUTES [SEED]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    uint64_t seed;
    double begun, minutes;
    bool passed;
    char *end;
    int status;

    pp_init(&argc, &argv);
    begun = now();
    seed = (uint64_t)(begun * 1e6);
    if (argc < 2 || argc > 3)
        usage();
    minutes = strtod(argv[1], &end);
    if (*end || !(minutes >= 0))
        usage();
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    if (getenv("TEST_TIME_FACTOR"))
        patience *= atof(getenv("TEST_TIME_FACTOR"));
    scene_make();
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    printf("soak: %g minutes, SEED=%llu\n", minutes, (unsigned long long)seed);
    atexit(end_all);
    status = conduct(start_client(seed, minutes * 60), seed ^ 1, begun, minutes * 60);
    passed = status == 0 && !atomic_load(&scene->failed);
    if (!passed)
        fprintf(stderr, "soak: FAILED in the round SEED=%llu: the client's status is %#x\n",
                (unsigned long long)atomic_load(&scene->round_seed), (unsigned)status);
    sum_up(begun, passed);
    return passed ? 0 : 1;
}
