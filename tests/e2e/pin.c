/* SPDX-License-Identifier: MIT */
/* .pin and .cpus: each worker on one CPU; and the size of a pool that is given none. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

/* The CPUs of a process; it has fewer than 1024, or the test does not apply. */
static int cpus_of(pid_t pid, int *cpus)
{
    cpu_set_t set;
    int error = sched_getaffinity(pid, sizeof set, &set) == 0 ? 0 : errno, count = 0;

    if (error == EINVAL)
        SKIP("more CPUs than this test knows of");
    for (size_t cpu = 0; !error && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set))
            cpus[count++] = (int)cpu;
    return count; /* 0: it is gone */
}

static int allowed[CPU_SETSIZE], allowed_count;

/* Whether there are so many workers, on these CPUs, in any order. */
static bool run_on(const int *expected, size_t workers)
{
    struct census census;
    int cpus[CPU_SETSIZE], balance[CPU_SETSIZE] = { 0 };

    if (!take_census(&census, workers))
        return false;
    for (size_t i = 0; i < workers; i++) {
        if (cpus_of(census.workers[i], cpus) != 1)
            return false;
        balance[cpus[0]]++;
        balance[expected[i]]--;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (balance[cpu] != 0)
            return false;
    return true;
}

/* Of the CPUs that the test may use, one after the other and again. */
static const int *in_turn(int workers)
{
    static int expected[64];

    if (allowed_count == 0)
        allowed_count = cpus_of(0, allowed);
    for (int i = 0; i < workers; i++)
        expected[i] = allowed[i % allowed_count];
    return expected;
}

/* A worker's name ends with its seat's number, which at first is its id. */
static int number_of(pid_t pid)
{
    struct harness_process list[64];
    size_t count = harness_others(list, 64);

    for (size_t i = 0; i < count; i++)
        if (list[i].pid == pid)
            return atoi(list[i].name + strlen("pp-worker-"));
    FAIL("no process %d", (int)pid);
}

static pid_t identify(void)
{
    return getpid();
}
PP_TASK(pid_t, identify);

/* ---- Where they run -------------------------------------------------------- */

TEST(each_on_its_own)
{
    enum { WORKERS = 5 };
    const int *expected = in_turn(WORKERS);
    pp_pool *pool = pp_pool_new(.processes = WORKERS, .pin = true);
    struct census census;
    int cpus[CPU_SETSIZE];

    CHECK(pool != NULL);
    CHECK(run_on(expected, WORKERS));
    CHECK(take_census(&census, WORKERS));
    for (int i = 0; i < WORKERS; i++) {
        CHECK_EQ(cpus_of(census.workers[i], cpus), 1);
        CHECK_EQ(cpus[0], expected[number_of(census.workers[i])]);
    }
    CHECK_EQ(cpus_of(census.supervisor, cpus), allowed_count);
    CHECK_EQ(cpus_of(0, cpus), allowed_count);
    finish(pool);
}

TEST(nowhere_in_particular)
{
    pp_pool *pool = pool_of(2);
    struct census census;
    int cpus[CPU_SETSIZE];

    in_turn(0);
    CHECK(take_census(&census, 2));
    for (int i = 0; i < 2; i++)
        CHECK_EQ(cpus_of(census.workers[i], cpus), allowed_count);
    finish(pool);
}

/* The array is copied; what is in it later does not matter. */
TEST(on_those_that_were_given)
{
    int last = in_turn(1)[0], first = last, cpus[3];
    int expected[7];
    pp_pool *pool;

    last = allowed[allowed_count - 1];
    memcpy(cpus, (int[]){ last, last, first }, sizeof cpus);
    pool = pp_pool_new(.processes = 2, .cpus = cpus, .cpu_count = 3);
    CHECK(pool != NULL);
    memset(cpus, -1, sizeof cpus);
    memcpy(expected, (int[]){ last, last, first, last, last, first, last }, sizeof expected);
    CHECK(run_on(expected, 2));
    CHECK_EQ(pp_pool_resize(pool, 7), 0);
    CHECK_SOON(run_on(expected, 7));
    CHECK_EQ(pp_pool_resize(pool, 3), 0);
    CHECK_SOON(run_on(expected, 3));
    finish(pool);
}

/* Who comes in the place of another has its id, and hence its CPU. */
TEST(replacements_too)
{
    enum { WORKERS = 3 };
    const int *expected = in_turn(WORKERS);
    pp_pool *pool = pp_pool_new(.processes = WORKERS, .pin = true);
    struct census census;

    CHECK(pool != NULL);
    for (int i = 0; i < 5; i++) {
        CHECK(take_census(&census, WORKERS));
        kill(census.workers[i % WORKERS], SIGKILL);
        CHECK_SOON(!is_alive(census.workers[i % WORKERS]) && run_on(expected, WORKERS));
    }
    finish(pool);
}

TEST(workers_that_retire_too)
{
    const int *expected = in_turn(2);
    pp_pool *pool = pp_pool_new(.processes = 2, .pin = true, .max_tasks_per_child = 1);

    CHECK(pool != NULL);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(pp_apply(pool, PP_CALL(identify), NULL), 0);
    CHECK_SOON(run_on(expected, 2));
    finish(pool);
}

/* ---- The default size --------------------------------------------------------- */

static void keep_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
}

static void check_default(size_t expected, const int *cpus, int count)
{
    pp_pool *pool = pp_pool_new(.cpus = cpus, .cpu_count = count);
    struct census census;

    CHECK(pool != NULL);
    CHECK(take_census(&census, expected));
    finish(pool);
}

TEST(default_size_is_that_of_the_affinity)
{
    in_turn(0);
    keep_on(allowed[allowed_count - 1]);
    check_default(1, NULL, 0);
}

TEST(default_size_is_that_of_the_cpus_given)
{
    int cpu = in_turn(1)[0];

    check_default(1, &cpu, 1);
}

/* ---- What is refused ------------------------------------------------------------ */

static void check_refused(const int *cpus, int count, const char *words)
{
    pp_error *error = NULL;

    CHECK_NULL(pp_pool_new(.processes = 1, .cpus = cpus, .cpu_count = count, .error = &error),
               EINVAL);
    CHECK(error != NULL);
    CHECK_STR(error->message, words);
    free(error);
}

TEST(bad_options)
{
    int cpu = in_turn(1)[0];

    check_refused(NULL, 3, "cpu_count is 3, but there are no cpus");
    check_refused(NULL, -3, "cpu_count is -3: it must not be negative");
    check_refused(&cpu, -1, "cpu_count is -1: it must not be negative");
    check_refused(&cpu, 0, "cpus are given, but cpu_count is 0");
}

TEST(cpus_that_are_not_there)
{
    int cpus[3], first = in_turn(1)[0];
    char words[128];

    keep_on(first);
    for (int i = 0; i < 3; i++) {
        cpus[0] = cpus[1] = cpus[2] = first;
        cpus[i] = 77777;
        snprintf(words, sizeof words, "cpus[%d] is 77777: this process may use CPU %d", i, first);
        check_refused(cpus, 3, words);
    }
    cpus[0] = -1;
    snprintf(words, sizeof words, "cpus[0] is -1: this process may use CPU %d", first);
    check_refused(cpus, 3, words);
}

TEST(cpus_of_others)
{
    char words[128];
    int first = in_turn(1)[0];

    if (allowed_count < 2)
        SKIP("there is only one CPU");
    keep_on(first);
    snprintf(words, sizeof words, "cpus[0] is %d: this process may use CPU %d", allowed[1], first);
    check_refused(&allowed[1], 1, words);
}

TEST(cpus_in_words)
{
    static const int none = -5;
    char words[128];

    in_turn(0);
    if (allowed_count != 2 || allowed[1] != allowed[0] + 1)
        SKIP("for machines of two CPUs");
    snprintf(words, sizeof words, "cpus[0] is -5: this process may use CPUs %d-%d", allowed[0],
             allowed[1]);
    check_refused(&none, 1, words);
}

/* ---- When it is taken away later -------------------------------------------------- */

static bool write_number(const char *folder, const char *name, int number)
{
    char path[256], text[16];
    ssize_t written;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(text, sizeof text, "%d", number);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    written = write(fd, text, strlen(text));
    close(fd);
    return written > 0;
}

/* A worker that cannot be kept on its CPU any more runs where it may. */
TEST(a_cpu_that_is_gone)
{
    char group[128];
    int cpus[CPU_SETSIZE], last;
    struct census census;
    pp_pool *pool;

    in_turn(0);
    last = allowed[allowed_count - 1];
    snprintf(group, sizeof group, "/sys/fs/cgroup/cpuset/procpool-test-%d", (int)getpid());
    if (allowed_count < 2 || mkdir(group, 0755) != 0)
        SKIP("no cpuset can be made here");
    if (!write_number(group, "cpuset.cpus", allowed[0]) || !write_number(group, "cpuset.mems", 0)) {
        rmdir(group);
        SKIP("no cpuset can be made here");
    }
    pool = pp_pool_new(.processes = 1, .cpus = &last, .cpu_count = 1);
    CHECK(pool != NULL && take_census(&census, 1));
    CHECK(write_number(group, "cgroup.procs", census.supervisor));
    CHECK_EQ(pp_pool_resize(pool, 2), 0);
    CHECK_SOON(take_census(&census, 2));
    for (int i = 0; i < 20; i++)
        CHECK_EQ(pp_apply(pool, PP_CALL(identify), NULL), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(cpus_of(census.workers[i], cpus), 1);
        CHECK(cpus[0] == last || cpus[0] == allowed[0]);
    }
    finish(pool);
    CHECK_SOON(rmdir(group) == 0);
}
