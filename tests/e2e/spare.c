/* SPDX-License-Identifier: MIT */
/*
 * The process that waits for a seat: kept where forking takes long, and only there.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

static pid_t process_id(void)
{
    return getpid();
}
PP_TASK(pid_t, process_id);

static void crash(void)
{
    raise(SIGKILL);
}
PP_TASK(void, crash);

static int count_up(void *count)
{
    atomic_fetch_add((atomic_int *)count, 1);
    return 0;
}

/* ---- Forking that takes long ---------------------------------------------------- */

/* Pages of this that were read are all the same page of zeros: but they must be copied. */
enum { LARGE_GB = 4 };
#define LARGE ((size_t)LARGE_GB << 30)

static void *make_large(void)
{
    char *memory = mmap(NULL, LARGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    volatile char *page;

    if (memory == MAP_FAILED)
        SKIP("no %d GB of address space", LARGE_GB);
    madvise(memory, LARGE, MADV_NOHUGEPAGE);
    memory[0] = 1; /* otherwise it would not be looked at */
    for (page = memory; page < memory + LARGE; page += 4096)
        (void)*page;
    return memory;
}

static bool is_called(pid_t pid, const char *name)
{
    char path[64], line[32] = "";
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (!fgets(line, sizeof line, file))
        line[0] = '\0';
    fclose(file);
    return strncmp(line, name, strlen(name)) == 0;
}

/* How many processes are called like this; *pid: the first of them that is not other_than. */
static size_t find(const char *name, pid_t other_than, pid_t *pid)
{
    struct harness_process list[64];
    size_t count = harness_others(list, 64), found = 0;

    *pid = 0;
    for (size_t i = 0; i < count && i < 64; i++) {
        if (list[i].state == 'Z' || !is_called(list[i].pid, name))
            continue;
        found++;
        if (list[i].pid != other_than && !*pid)
            *pid = list[i].pid;
    }
    return found;
}

/* A spare, but not this one; or 0. */
static pid_t find_spare(pid_t other_than)
{
    pid_t pid;

    find("pp-spare", other_than, &pid);
    return pid;
}

/*
 * Whether there are just a supervisor, a worker and a spare, and not this one any more.
 * That it has gone is asked first: what is called a worker after that is the next one.
 */
static bool is_settled(pid_t gone)
{
    pid_t pid;

    return !is_alive(gone) && find("pp-supervisor", 0, &pid) == 1 &&
           find("pp-worker-", 0, &pid) == 1 && find("pp-spare", 0, &pid) == 1;
}

static pid_t await_spare(pid_t other_than)
{
    pid_t spare = 0;

    CHECK_SOON((spare = find_spare(other_than)) != 0);
    return spare;
}

/* A pool that has a spare. */
static pp_pool *large_pool(int workers, void **memory, pid_t *spare)
{
    pp_pool *pool;

    *memory = make_large();
    pool = pool_of(workers);
    *spare = await_spare(0);
    return pool;
}

static pid_t worker_of(pp_pool *pool)
{
    pid_t pid = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &pid), 0);
    return pid;
}

/* ---- The tests ------------------------------------------------------------------ */

TEST(none_where_forking_is_fast)
{
    pp_pool *pool = pool_of(2);

    for (int i = 0; i < 10; i++)
        CHECK_EQ(pp_apply(pool, PP_CALL(crash), NULL), PP_ECRASHED);
    sleep_for(50000); /* longer than the supervisor waits before it forks one */
    CHECK_EQ(find_spare(0), 0);
    finish(pool);
}

TEST(takes_the_place_of_the_dead)
{
    void *memory;
    pid_t spare;
    pp_pool *pool = large_pool(1, &memory, &spare);

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(crash), NULL), PP_ECRASHED);
        CHECK_EQ(worker_of(pool), spare);
        CHECK(is_called(spare, "pp-worker-"));
        spare = await_spare(spare);
    }
    finish(pool);
    munmap(memory, LARGE);
}

TEST(takes_the_place_of_the_retired)
{
    void *memory = make_large();
    pp_pool *pool = pp_pool_new(.processes = 1, .max_tasks_per_child = 1);
    pid_t last = 0;

    CHECK(pool != NULL);
    for (int i = 0; i < 3; i++) {
        pid_t spare;

        CHECK_SOON(is_settled(last));
        spare = await_spare(0);
        CHECK(worker_of(pool) != spare);
        last = worker_of(pool);
        CHECK_EQ(last, spare);
    }
    finish(pool);
    munmap(memory, LARGE);
}

TEST(is_not_initialized_before)
{
    void *memory = make_large();
    atomic_int *count = shared_new(sizeof *count);
    pp_pool *pool = pp_pool_new(.processes = 2, .initializer = count_up, .initarg = count);

    CHECK(pool != NULL);
    await_spare(0);
    CHECK_EQ(atomic_load(count), 2);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash), NULL), PP_ECRASHED);
    CHECK_SOON(atomic_load(count) == 3);
    finish(pool);
    shared_free(count, sizeof *count);
    munmap(memory, LARGE);
}

/* Its death costs nothing, and it is replaced; but not without end. */
TEST(may_be_killed)
{
    void *memory;
    pid_t spare;
    pp_pool *pool = large_pool(1, &memory, &spare);
    pid_t worker = worker_of(pool);
    double begin = harness_now();

    for (int i = 0; i < 8; i++) {
        kill(spare, SIGKILL);
        spare = await_spare(spare);
    }
    kill(spare, SIGKILL); /* that is one too many */
    CHECK_SOON(!is_alive(spare));
    for (int i = 0; i < 5; i++)
        CHECK_EQ(worker_of(pool), worker);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash), NULL), PP_ECRASHED);
    CHECK(worker_of(pool) != worker);
    sleep_for(200000);
    if (harness_now() - begin < 10) /* more than that in ten seconds */
        CHECK_EQ(find_spare(0), 0);
    finish(pool);
    munmap(memory, LARGE);
}

/* It is stopped, gets the seat, and is killed there: a worker died, no item. */
TEST(may_be_killed_as_it_takes_a_seat)
{
    void *memory;
    pid_t spare;
    pp_pool *pool = large_pool(1, &memory, &spare);

    kill(spare, SIGSTOP);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash), NULL), PP_ECRASHED);
    await_spare(spare); /* the supervisor has gone on */
    kill(spare, SIGKILL);
    CHECK(worker_of(pool) != spare);
    finish(pool);
    munmap(memory, LARGE);
}

/* It is stopped, gets a seat, and another worker dies before it has seen that. */
TEST(hears_the_call_late)
{
    void *memory;
    pid_t spare;
    pp_pool *pool = large_pool(2, &memory, &spare);

    kill(spare, SIGSTOP);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash), NULL), PP_ECRASHED);
    await_spare(spare); /* the next one, which could be called instead of it */
    CHECK_EQ(pp_apply(pool, PP_CALL(crash), NULL), PP_ECRASHED);
    worker_of(pool);
    kill(spare, SIGCONT);
    CHECK_SOON(is_called(spare, "pp-worker-"));
    finish(pool);
    munmap(memory, LARGE);
}

static void crash_later(void)
{
    sleep_for(20000); /* who waits is asleep by then */
    raise(SIGKILL);
}
PP_TASK(void, crash_later);

/* The error is there while the kernel still frees the page tables of the dead. */
TEST(a_death_is_seen_early)
{
    void *memory = make_large();
    pp_pool *pool = pool_of(1);
    bool early = false;

    for (int i = 0; i < 20 && !early; i++) { /* it is only a hint, which may be lost */
        pid_t pid = worker_of(pool);
        pp_result *result = pp_apply_async(pool, PP_CALL(crash_later));

        CHECK(result != NULL);
        CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
        early = is_alive(pid);
        CHECK_EQ(pp_error_of(result)->signal, SIGKILL);
        pp_result_free(result);
    }
    CHECK(early);
    finish(pool);
    munmap(memory, LARGE);
}

TEST(ends_with_a_pool_that_is_terminated)
{
    void *memory;
    pid_t spare;
    pp_pool *pool = large_pool(2, &memory, &spare);

    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(processes(), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    munmap(memory, LARGE);
}

TEST(ends_with_the_supervisor)
{
    void *memory;
    pid_t spare;
    pp_pool *pool = large_pool(1, &memory, &spare);
    struct harness_process list[8];
    size_t count = harness_others(list, 8);
    pid_t supervisor = 0;

    for (size_t i = 0; i < count && i < 8; i++)
        if (list[i].pid == spare)
            supervisor = list[i].parent;
    CHECK(supervisor > 0);
    kill(supervisor, SIGKILL);
    CHECK_SOON(!is_alive(spare));
    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), NULL), -ENOTRECOVERABLE);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_SOON(processes() == 0);
    munmap(memory, LARGE);
}
