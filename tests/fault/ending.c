/* SPDX-License-Identifier: MIT */
/*
 * A pool that takes long to end: one of its workers is killed, but cannot be reaped, since it
 * is traced.  Whoever waits meanwhile loses patience, and must not take what the others had
 * claimed for damaged.
 */
#include <errno.h>
#include <procpool.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

enum { ITEMS = 8, DONE = 3 }; /* so many of a chunk's */

static _Atomic pid_t *stuck; /* workers that are in a task which does not end */

static _Noreturn void stay(int which)
{
    stuck[which] = getpid();
    for (;;)
        pause();
}

/* Of a string there is a record for each item, and not for all that a chunk has done. */
static const char *spell(long i)
{
    static char text[32];

    if (i == DONE)
        stay(0);
    snprintf(text, sizeof text, "item %ld", i);
    return text;
}
PP_TASK(const char *, spell, long, i);

static int stay_beside(void)
{
    stay(1);
}
PP_TASK(int, stay_beside);

static void *terminate(void *pool)
{
    CHECK_EQ(pp_terminate(pool), 0);
    return NULL;
}

static void trace(pid_t pid)
{
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0)
        SKIP("no process can be traced here: %s", strerror(errno));
}

TEST(what_the_dead_had_claimed_is_not_damaged)
{
    const double longer_than_patience = 0.5;
    pp_result *map, *beside;
    long items[ITEMS];
    pthread_t thread;
    pp_pool *pool;
    int status;

    stuck = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(stuck != MAP_FAILED);
    for (long i = 0; i < ITEMS; i++)
        items[i] = i;
    pool = pp_pool_new(.processes = 2);
    CHECK(pool != NULL);
    map = pp_map_async(pool, spell, items, ITEMS, .chunksize = ITEMS);
    beside = pp_apply_async(pool, PP_CALL(stay_beside));
    CHECK_SOON(stuck[0] && stuck[1]);
    trace(stuck[1]);
    CHECK_EQ(pp_wait(map, 0.001), -ETIMEDOUT); /* what is done has been taken in */
    CHECK_EQ(pthread_create(&thread, NULL, terminate, pool), 0);
    CHECK_EQ(pp_wait(map, longer_than_patience), -ETIMEDOUT);
    CHECK_EQ(waitpid(stuck[1], &status, __WALL), stuck[1]);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(pp_get(map, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_failures(map), ITEMS - DONE);
    for (size_t i = 0; i < pp_failures(map); i++)
        CHECK_EQ(pp_failure(map, i)->kind, PP_CANCELLED);
    pp_result_free(map);
    pp_result_free(beside);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(munmap((void *)stuck, 4096), 0);
}
