/* SPDX-License-Identifier: MIT */
/* A machine that has no more of something: pp_pool_new() gives a pool that works,
   or NULL and what it is that is missing, and leaves nothing behind. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static size_t shared_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[4096];
    size_t count = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        count += strstr(line, "memfd:") != NULL;
    fclose(file);
    return count;
}

/* Tries to make a pool with a resource so limited; true if there was one.  The
   limit is lifted before anything is looked at. */
static bool try_with(__rlimit_resource_t resource, rlim_t limit, int workers, int code,
                     int other_code)
{
    size_t fds = descriptors(), mappings = shared_mappings();
    struct rlimit full, little;
    pp_pool *pool;
    long value = 0;
    int error = 0, result = 0;

    CHECK_EQ(getrlimit(resource, &full), 0);
    little = (struct rlimit){ limit, full.rlim_max };
    CHECK_EQ(setrlimit(resource, &little), 0);
    errno = 0;
    pool = pp_pool_new(.processes = workers);
    error = errno;
    if (pool)
        result = pp_apply(pool, PP_CALL(square, 5), &value);
    CHECK_EQ(setrlimit(resource, &full), 0);
    if (pool) {
        CHECK_EQ(result, 0);
        CHECK_EQ(value, 25);
        CHECK_EQ(pp_pool_free(pool), 0);
    } else if (error != code && error != other_code) {
        FAIL("errno is %d (%s)", error, strerror(error));
    }
    CHECK_EQ(descriptors(), fds);
    CHECK_EQ(shared_mappings(), mappings);
    CHECK_EQ(processes(), 0);
    return pool != NULL;
}

TEST(descriptors_exhausted)
{
    rlim_t fds = descriptors();

    CHECK(!try_with(RLIMIT_NOFILE, fds, 2, EMFILE, ENFILE));
    for (rlim_t limit = fds + 1; !try_with(RLIMIT_NOFILE, limit, 2, EMFILE, ENFILE); limit++)
        CHECK(limit < fds + 100);
}

TEST(processes_exhausted)
{
    enum { WORKERS = 4 };
    uid_t uid = 50000 + (uid_t)getpid() % 10000; /* of whom there are no processes */

    if (getuid() != 0)
        SKIP("root's processes are not limited, and only root can be another user");
    if (HARNESS_SANITIZED)
        SKIP("sanitizers need threads of their own");
    CHECK_EQ(setresgid(uid, uid, uid), 0);
    CHECK_EQ(setresuid(uid, uid, uid), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0); /* or /proc/self is not ours any more */
    for (rlim_t limit = 1; limit < WORKERS + 2; limit++)
        CHECK(!try_with(RLIMIT_NPROC, limit, WORKERS, EAGAIN, EAGAIN));
    CHECK(try_with(RLIMIT_NPROC, 4 * WORKERS, WORKERS, 0, 0));
}

/* Of the process, in bytes. */
static rlim_t address_space(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

TEST(address_space_exhausted)
{
    if (HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("they need too much address space themselves");
    CHECK(!try_with(RLIMIT_AS, address_space(), 2, ENOMEM, ENOMEM));
    for (rlim_t more = 4096; more < 1UL << 46; more *= 2)
        if (try_with(RLIMIT_AS, address_space() + more, 2, ENOMEM, ENOMEM))
            return;
    FAIL("64 TiB are not enough");
}

/* Shared memory is as large as the limits allow. */
TEST(little_address_space_for_shared_memory)
{
    struct rlimit full, little;
    pp_pool *pool = NULL;
    char *block;

    if (HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("they need too much address space themselves");
    CHECK_EQ(getrlimit(RLIMIT_AS, &full), 0);
    for (rlim_t more = 4096; !pool && more < 1UL << 46; more *= 2) {
        little = (struct rlimit){ address_space() + more, full.rlim_max };
        CHECK_EQ(setrlimit(RLIMIT_AS, &little), 0);
        pool = pp_pool_new(.processes = 2);
        CHECK_EQ(setrlimit(RLIMIT_AS, &full), 0);
    }
    CHECK(pool != NULL);
    CHECK_NULL(pp_shared_alloc(pool, 1 << 30), ENOMEM);
    block = pp_shared_alloc(pool, 1 << 20);
    CHECK(block != NULL);
    memset(block, 1, 1 << 20);
    finish(pool);
}

/* When memory runs out later: the call fails, and the pool goes on. */
static size_t length(pp_bytes bytes)
{
    return bytes.size;
}
PP_TASK(size_t, length, pp_bytes, bytes);

TEST(memory_exhausted_later)
{
    size_t size = 16 << 20, value = 0;
    struct rlimit full, little;
    pp_result *results[64];
    int submitted = 0;
    pp_pool *pool;
    char *data;

    if (HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("they need too much address space themselves");
    data = calloc(1, size);
    pool = pool_of(1);
    CHECK_EQ(getrlimit(RLIMIT_AS, &full), 0);
    little = (struct rlimit){ address_space() + (64 << 20), full.rlim_max };
    CHECK_EQ(setrlimit(RLIMIT_AS, &little), 0);
    while (submitted < 64 &&
           (results[submitted] = pp_apply_async(pool, PP_CALL(length, { data, size }))))
        submitted++;
    if (submitted < 64)
        CHECK_EQ(errno, ENOMEM);
    for (int i = 0; i < submitted; i++) {
        CHECK_EQ(pp_get(results[i], &value), 0);
        CHECK_EQ(value, size);
    }
    CHECK_EQ(setrlimit(RLIMIT_AS, &full), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(length, { data, size }), &value), 0);
    finish(pool);
    free(data);
}
