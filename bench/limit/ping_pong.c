/* SPDX-License-Identifier: MIT */
/*
 * apply: the least that a call in another process can take when both sides sleep:
 * a number and its square through two futexes, nothing else.  Not pinned, as a
 * pool's processes are not.
 */
#include "harness/bench.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* One direction, on a cache line of its own: the value is there when turn changes. */
struct channel {
    _Alignas(64) _Atomic uint32_t turn;
    long value;
};

struct table {
    struct channel to_worker;
    struct channel to_client;
};

static void hit(struct channel *channel, long value)
{
    channel->value = value;
    atomic_fetch_add(&channel->turn, 1);
    syscall(SYS_futex, &channel->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static long await(struct channel *channel, uint32_t turn)
{
    while (atomic_load(&channel->turn) == turn)
        syscall(SYS_futex, &channel->turn, FUTEX_WAIT, turn, NULL, NULL, 0);
    return channel->value;
}

/* Until killed. */
static void serve(struct table *table)
{
    for (uint32_t turn = 0;; turn++)
        hit(&table->to_client, bench_square(await(&table->to_worker, turn)));
}

static uint64_t round_trip_ns(struct table *table, uint32_t turn)
{
    long x = (long)turn;
    uint64_t begin_ns = bench_now_ns();

    hit(&table->to_worker, x);

    long value = await(&table->to_client, turn);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(value == x * x, "ping-pong: wrong result");
    return took_ns;
}

static pid_t start_server(struct table *table)
{
    pid_t client = getpid();
    pid_t server = fork();

    bench_check(server >= 0, "ping-pong: cannot fork");
    if (server > 0)
        return server;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == client)
        serve(table);
    _exit(1);
}

BENCH_WORKLOAD(apply)
{
    uint32_t calls = (uint32_t)bench_count(10000, scale);
    uint64_t *took_ns = bench_alloc(calls * sizeof *took_ns);
    struct table *table =
        mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    bench_check(table != MAP_FAILED, "ping-pong: out of memory");

    pid_t server = start_server(table);

    for (uint32_t i = 0; i < BENCH_WARM_UP; i++)
        round_trip_ns(table, i);
    for (uint32_t i = 0; i < calls; i++)
        took_ns[i] = round_trip_ns(table, BENCH_WARM_UP + i);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    munmap(table, sizeof *table);
    bench_report_median_s("median", took_ns, calls);
    bench_report("p99", (double)bench_percentile(took_ns, calls, 0.99) / 1e9, "s");
    free(took_ns);
}
