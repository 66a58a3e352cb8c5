/* SPDX-License-Identifier: MIT */
/* pp_pool_resize() together with deaths, at the end of a pool, and where it is refused. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static pid_t wait_at(struct gate *gate)
{
    gate_wait(gate);
    return getpid();
}
PP_TASK(pid_t, wait_at, struct gate *, gate);

static bool has_workers(size_t count)
{
    struct census census;

    return take_census(&census, count);
}

static void check_squares(pp_pool *pool, long count)
{
    long *items = calloc((size_t)count, sizeof *items);

    for (long i = 0; i < count; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, square, items, (size_t)count, items), 0);
    for (long i = 0; i < count; i++)
        CHECK_EQ(items[i], i * i);
    free(items);
}

/* ---- Together with deaths ------------------------------------------------- */

static int crash_first(int item)
{
    if (pp_attempt() == 1 && item % 50 == 0)
        raise(SIGKILL);
    return item;
}
PP_TASK(int, crash_first, int, item);

/* A worker that is dismissed may crash, too, and one that retires may be dismissed. */
static void crash_and_resize(long max_tasks)
{
    enum { ITEMS = 2000 };
    unsigned long seed = choose_seed();
    int items[ITEMS], values[ITEMS];
    pp_pool *pool = pp_pool_new(.processes = 2, .max_tasks_per_child = max_tasks);
    pp_result *result;

    CHECK(pool != NULL);
    for (int i = 0; i < ITEMS; i++)
        items[i] = i;
    result = pp_map_async(pool, crash_first, items, ITEMS, .chunksize = 5, .retries = 1);
    CHECK(result != NULL);
    while (!pp_ready(result)) {
        CHECK_EQ(pp_pool_resize(pool, 1 + (int)(next_random(&seed) % 8)), 0);
        pp_wait(result, .timeout = 0.002);
    }
    CHECK_EQ(pp_get(result, values), 0);
    for (int i = 0; i < ITEMS; i++)
        CHECK_EQ(values[i], i);
    CHECK_EQ(pp_pool_resize(pool, 3), 0);
    CHECK_SOON(has_workers(3));
    finish(pool);
}

TEST(with_crashes_and_retries, .timeout = 60)
{
    crash_and_resize(0);
}

TEST(with_workers_that_retire, .timeout = 60)
{
    crash_and_resize(7);
}

static void kill_idle(size_t workers)
{
    struct census census;

    CHECK(take_census(&census, workers));
    kill(census.workers[0], SIGKILL);
    CHECK_SOON(!is_alive(census.workers[0]) && has_workers(workers));
}

/* As many deaths of idle workers as the larger pool may have are held against no smaller one. */
TEST(the_limit_of_deaths_is_not_forgotten)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_pool_resize(pool, 16), 0);
    CHECK_SOON(has_workers(16));
    for (int i = 0; i < 12; i++)
        kill_idle(16);
    CHECK_EQ(pp_pool_resize(pool, 1), 0);
    CHECK_SOON(has_workers(1));
    kill_idle(1);
    check_squares(pool, 100);
    finish(pool);
}

/* ---- When the system has no more processes ------------------------------- */

static void limit_processes(pid_t pid, rlim_t number)
{
    struct rlimit limit;

    CHECK_EQ(prlimit(pid, RLIMIT_NPROC, NULL, &limit), 0);
    limit.rlim_cur = number < limit.rlim_max ? number : limit.rlim_max;
    CHECK_EQ(prlimit(pid, RLIMIT_NPROC, &limit, NULL), 0);
}

/* Fewer than were asked for are no error; they come when there is room again. */
TEST(forks_that_fail)
{
    uid_t uid = 60000 + (uid_t)getpid() % 5000; /* of whom there are no processes */
    struct census census;
    pp_pool *pool;

    if (getuid() != 0)
        SKIP("root's processes are not limited, and only root can be another user");
    if (HARNESS_SANITIZED)
        SKIP("sanitizers need threads of their own");
    CHECK_EQ(setresgid(uid, uid, uid), 0);
    CHECK_EQ(setresuid(uid, uid, uid), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0); /* or /proc/self is not ours any more */
    pool = pool_of(2);
    CHECK(take_census(&census, 2));
    limit_processes(census.supervisor, 5);
    CHECK_EQ(pp_pool_resize(pool, 6), 0);
    CHECK_SOON(has_workers(3));
    check_squares(pool, 1000);
    kill(census.workers[0], SIGKILL);
    check_squares(pool, 1000);
    CHECK_EQ(pp_pool_resize(pool, 1), 0);
    CHECK_SOON(has_workers(1));
    CHECK_EQ(pp_pool_resize(pool, 6), 0);
    CHECK_SOON(has_workers(3));
    limit_processes(census.supervisor, RLIM_INFINITY);
    CHECK_SOON(has_workers(6));
    finish(pool);
}

/* ---- While the pool ends -------------------------------------------------- */

TEST(closed_but_not_joined)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    pp_result *first = pp_apply_async(pool, PP_CALL(wait_at, gate));
    pp_result *second = pp_apply_async(pool, PP_CALL(wait_at, gate));

    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_pool_resize(pool, 2), 0);
    CHECK_SOON(gate->waiting == 2);
    gate_open(gate);
    CHECK_EQ(pp_get(first, NULL), 0);
    CHECK_EQ(pp_get(second, NULL), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_resize(pool, 2), -ESHUTDOWN);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

static void *resize_until_it_ends(void *what)
{
    unsigned long seed = (unsigned long)pthread_self();
    int error;

    while ((error = pp_pool_resize(what, 1 + (int)(next_random(&seed) % 5))) == 0)
        ;
    CHECK_EQ(error, -ESHUTDOWN);
    return NULL;
}

static void end_meanwhile(bool terminate)
{
    for (unsigned i = 0; i < rounds(30, 300); i++) {
        pp_pool *pool = pool_of(3);
        pthread_t thread;

        CHECK_EQ(pthread_create(&thread, NULL, resize_until_it_ends, pool), 0);
        check_squares(pool, 100);
        CHECK_EQ(terminate ? pp_terminate(pool) : pp_close(pool), 0);
        CHECK_EQ(pp_join(pool), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}

TEST(while_it_is_joined, .timeout = 60)
{
    end_meanwhile(false);
}

TEST(while_it_is_terminated, .timeout = 60)
{
    end_meanwhile(true);
}

TEST(joined_when_many_are_dismissed)
{
    for (unsigned i = 0; i < rounds(30, 300); i++) {
        pp_pool *pool = pool_of(1);

        CHECK_EQ(pp_pool_resize(pool, 12), 0);
        check_squares(pool, (long)i);
        CHECK_EQ(pp_pool_resize(pool, 1), 0);
        finish(pool);
    }
}

/* ---- What stays ----------------------------------------------------------- */

struct large {
    char bytes[4 << 20];
};

static struct large fill_large(struct gate *gate, int byte)
{
    static struct large large;

    gate_wait(gate);
    memset(&large, byte, sizeof large);
    return large;
}
PP_TASK(struct large, fill_large, struct gate *, gate, int, byte);

/* Of the pool's segment, in bytes; -1: only a privileged process can look. */
static long long segment_memory(void)
{
    char line[4096], path[64];
    unsigned long from, to;
    FILE *maps = fopen("/proc/self/maps", "re");
    struct stat stat_;
    long long size = -1;

    CHECK(maps != NULL);
    while (size < 0 && fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:procpool") && sscanf(line, "%lx-%lx", &from, &to) == 2) {
            snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", from, to);
            if (stat(path, &stat_) == 0)
                size = (long long)stat_.st_blocks * 512;
            break;
        }
    fclose(maps);
    return size;
}

/* The client gives back what the dead have left when it hears of them, which may be later
   than that they are seen to be gone. */
static long long memory_after_look(pp_pool *pool)
{
    check_squares(pool, 1);
    return segment_memory();
}

/* Has each of the workers fill its room with one value, and no more. */
static void fill_all(pp_pool *pool, int workers)
{
    struct gate *gate = pp_shared_alloc(pool, sizeof *gate);
    pp_result *results[16];
    struct large *value = malloc(sizeof *value);

    CHECK(gate != NULL && value != NULL && workers <= 16);
    for (int i = 0; i < workers; i++)
        results[i] = pp_apply_async(pool, PP_CALL(fill_large, gate, i));
    CHECK_SOON(atomic_load(&gate->waiting) == workers);
    gate_open(gate);
    for (int i = 0; i < workers; i++) {
        CHECK_EQ(pp_get(results[i], value), 0);
        CHECK_EQ(value->bytes[sizeof value->bytes - 1], i);
        pp_result_free(results[i]);
    }
    free(value);
    CHECK_EQ(pp_shared_free(pool, gate), 0);
}

TEST(memory_and_descriptors_are_as_before)
{
    enum { WORKERS = 8 };
    pp_pool *pool = pool_of(1);
    size_t fds = descriptors();
    long long before;

    fill_all(pool, 1);
    before = segment_memory();
    if (before < 0)
        SKIP("only a privileged process can see what a mapping takes");
    CHECK_EQ(pp_pool_resize(pool, WORKERS), 0);
    CHECK_SOON(has_workers(WORKERS));
    fill_all(pool, WORKERS);
    CHECK(segment_memory() > before + (WORKERS - 2) * (long long)sizeof(struct large));
    CHECK_EQ(pp_pool_resize(pool, 1), 0);
    CHECK_SOON(has_workers(1));
    CHECK_SOON(memory_after_look(pool) < before + (long long)sizeof(struct large));
    CHECK_EQ(descriptors(), fds);
    finish(pool);
}

/* ---- What is not possible -------------------------------------------------- */

TEST(bad_sizes)
{
    pp_pool *pool = pool_of(2), *large = pool_of(20);
    pp_pool *tight = pp_pool_new(.processes = 1, .max_processes = 2);

    CHECK_EQ(pp_pool_resize(NULL, 1), -EINVAL);
    CHECK_EQ(pp_pool_resize(pool, 0), -EINVAL);
    CHECK_EQ(pp_pool_resize(pool, -1), -EINVAL);
    CHECK_EQ(pp_pool_resize(pool, 33), -ERANGE);
    CHECK_EQ(pp_pool_resize(pool, 1 << 30), -ERANGE);
    CHECK_EQ(pp_pool_resize(pool, 2), 0);
    CHECK_EQ(pp_pool_resize(large, 41), -ERANGE);
    CHECK_EQ(pp_pool_resize(tight, 3), -ERANGE);
    CHECK_EQ(pp_pool_resize(tight, 2), 0);
    check_squares(tight, 100);
    CHECK_HAS(pp_strerror(-ERANGE), "max_processes");
    finish(pool);
    finish(large);
    finish(tight);
}

static void check_refused(int processes, int max_processes, const char *words)
{
    pp_error *error = NULL;

    CHECK_NULL(pp_pool_new(.processes = processes, .max_processes = max_processes,
                           .error = &error),
               EINVAL);
    CHECK(error != NULL);
    CHECK_STR(error->message, words);
    free(error);
}

TEST(bad_options)
{
    check_refused(4, 3, "max_processes is 3: it must not be less than processes, 4");
    check_refused(1, -1, "max_processes is -1: it must be 1 to 1024, or 0 for enough");
    check_refused(1, 1025, "max_processes is 1025: it must be 1 to 1024, or 0 for enough");
}

/* The default size is within the room that was asked for. */
TEST(room_for_one)
{
    pp_pool *pool = pp_pool_new(.max_processes = 1);

    CHECK(pool != NULL);
    CHECK(has_workers(1));
    CHECK_EQ(pp_pool_resize(pool, 2), -ERANGE);
    finish(pool);
}

TEST(in_another_process)
{
    pp_pool *pool = pool_of(1);
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(pp_pool_resize(pool, 2) == -ECHILD ? 0 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    finish(pool);
}

TEST(ended_pools)
{
    struct census census;
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_pool_resize(pool, 2), -ESHUTDOWN);
    CHECK_EQ(pp_pool_free(pool), 0);
    pool = pool_of(2);
    CHECK(take_census(&census, 2));
    kill(census.supervisor, SIGKILL);
    CHECK_SOON(pp_pool_resize(pool, 2) == -ENOTRECOVERABLE);
    CHECK_EQ(pp_pool_free(pool), 0);
}

static int fail_now(void *fails)
{
    return *(atomic_int *)fails;
}

TEST(a_broken_pool)
{
    atomic_int *fails = shared_new(sizeof *fails);
    pp_pool *pool = pp_pool_new(.processes = 1, .initializer = fail_now, .initarg = fails);

    CHECK(pool != NULL);
    *fails = 5;
    CHECK_EQ(pp_pool_resize(pool, 4), 0);
    CHECK_SOON(pp_pool_resize(pool, 4) == -ENOTRECOVERABLE);
    CHECK_EQ(pp_pool_free(pool), 0);
    shared_free(fails, sizeof *fails);
}
