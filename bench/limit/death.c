/* SPDX-License-Identifier: MIT */
/*
 * death: how soon after SIGKILL its parent can know that a child is dead: by its pidfd, and by
 * a robust mutex that it held, which the kernel gives free sooner.
 */
#include "harness/bench.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct table {
    pthread_mutex_t mutex;
    _Atomic int ready;
};

static void make_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    bench_check(pthread_mutex_init(mutex, &attributes) == 0, "death: no robust mutex");
    pthread_mutexattr_destroy(&attributes);
}

static pid_t start_victim(struct table *table)
{
    atomic_store(&table->ready, 0);

    pid_t child = bench_fork();

    if (child == 0) {
        pthread_mutex_lock(&table->mutex);
        atomic_store(&table->ready, 1);
        for (;;)
            pause();
    }
    while (!atomic_load(&table->ready))
        usleep(50);
    usleep(200); /* it sleeps */
    return child;
}

static uint64_t pidfd_ns(struct table *table)
{
    pid_t child = start_victim(table);
    struct pollfd poll_for = { (int)syscall(SYS_pidfd_open, child, 0), POLLIN, 0 };

    bench_check(poll_for.fd >= 0, "death: no pidfd");

    uint64_t begin_ns = bench_now_ns();

    kill(child, SIGKILL);

    int ready = poll(&poll_for, 1, 5000);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(ready == 1, "death: the pidfd stays silent");
    close(poll_for.fd);
    waitpid(child, NULL, 0);
    return took_ns;
}

static uint64_t mutex_ns(struct table *table)
{
    pid_t child = start_victim(table);
    uint64_t begin_ns = bench_now_ns();

    kill(child, SIGKILL);

    int error = pthread_mutex_lock(&table->mutex);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(error == EOWNERDEAD, "death: the mutex does not tell");
    pthread_mutex_unlock(&table->mutex);
    waitpid(child, NULL, 0);
    return took_ns;
}

static void measure(const char *metric, uint64_t (*once_ns)(struct table *), double scale)
{
    size_t deaths = bench_count(50, scale);
    uint64_t *took_ns = bench_alloc(deaths * sizeof *took_ns);
    struct table *table = bench_shared(sizeof *table);

    for (size_t i = 0; i < deaths; i++) {
        make_mutex(&table->mutex);
        took_ns[i] = once_ns(table);
    }
    bench_report_median_s(metric, took_ns, deaths);
    bench_unshare(table, sizeof *table);
    free(took_ns);
}

BENCH_WORKLOAD(death)
{
    measure("median", pidfd_ns, scale);
    measure("by_robust_mutex", mutex_ns, scale);
}
