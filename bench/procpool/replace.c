/* SPDX-License-Identifier: MIT */
/*
 * death: from SIGKILL for a worker to the error at the caller; replace: from there to the
 * value of the next call, which a replacement has run, in programs small and large.
 */
#include "pool.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Tells its process, then waits for its death. */
static void hang(_Atomic pid_t *where)
{
    atomic_store(where, getpid());
    for (;;)
        pause();
}
PP_TASK(void, hang, _Atomic pid_t *, where);

static pid_t process_of(_Atomic pid_t *where)
{
    pid_t pid;

    while ((pid = atomic_exchange(where, 0)) == 0)
        usleep(50);
    usleep(200); /* it sleeps */
    return pid;
}

static uint64_t death_ns(pp_pool *pool, _Atomic pid_t *where)
{
    pp_result *result = pp_apply_async(pool, PP_CALL(hang, where));
    pid_t victim = process_of(where);
    uint64_t begin_ns = bench_now_ns();

    kill(victim, SIGKILL);

    int error = pp_get(result, NULL);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == PP_ECRASHED, "death: no error");
    pp_result_free(result);
    return took_ns;
}

BENCH_WORKLOAD(death)
{
    size_t deaths = bench_count(50, scale);
    uint64_t *took_ns = bench_alloc(deaths * sizeof *took_ns);
    pp_pool *pool = warm_pool();
    _Atomic pid_t *where = pp_shared_alloc(pool, sizeof *where);

    bench_check(where != NULL, "death: no shared memory");
    for (size_t i = 0; i < deaths; i++) {
        took_ns[i] = death_ns(pool, where);
        usleep(5000); /* the replacement is there */
    }
    stop_pool(pool);
    bench_report_median_s("median", took_ns, deaths);
    free(took_ns);
}

/* The pool has one worker: only its replacement can run the second call. */
static uint64_t replacement_ns(pp_pool *pool, _Atomic pid_t *where)
{
    pp_result *doomed = pp_apply_async(pool, PP_CALL(hang, where));
    pid_t victim = process_of(where);
    pp_result *next = pp_apply_async(pool, PP_CALL(bench_square, 7L));
    long value = -1;
    uint64_t begin_ns = bench_now_ns();

    kill(victim, SIGKILL);

    int error = pp_get(next, &value);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == 0 && value == 49, "replace: wrong result");
    bench_check(pp_get(doomed, NULL) == PP_ECRASHED, "replace: no error");
    pp_result_free(doomed);
    pp_result_free(next);
    return took_ns;
}

/* Private memory in ordinary pages, all of them there. */
static char *grow(size_t size)
{
    char *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    bench_check(memory != MAP_FAILED, "replace: out of memory");
    bench_check(madvise(memory, size, MADV_NOHUGEPAGE) == 0 || errno == EINVAL,
                "replace: cannot choose small pages");
    for (size_t i = 0; i < size; i += 4096)
        memory[i] = 1;
    return memory;
}

/* Workers die now and then, not one right after the other: a pool that has prepared for the next
   death has had the time. */
#define REST_US 200000

/* Of the client's memory this much is there when the pool is created, and more later. */
static void measure(const char *metric, size_t before, size_t later, size_t times)
{
    uint64_t *took_ns = bench_alloc(times * sizeof *took_ns);
    char *old = grow(before);
    pp_pool *pool = new_pool(1, PP_SPIN_ADAPTIVE);
    char *young = later ? grow(later) : NULL;
    _Atomic pid_t *where = pp_shared_alloc(pool, sizeof *where);

    bench_check(where != NULL, "replace: no shared memory");
    replacement_ns(pool, where);
    for (size_t i = 0; i < times; i++) {
        usleep(REST_US);
        took_ns[i] = replacement_ns(pool, where);
    }
    stop_pool(pool);
    bench_report_median_s(metric, took_ns, times);
    munmap(old, before);
    if (young)
        munmap(young, later);
    free(took_ns);
}

BENCH_WORKLOAD(replace)
{
    measure("in_10MB", 10u << 20, 0, bench_count(30, scale));
    measure("in_2GB", 2048ul << 20, 0, bench_count(5, scale));
    measure("in_2GB_later", 10u << 20, 2038ul << 20, bench_count(10, scale));
}
