/* SPDX-License-Identifier: MIT */
/*
 * apply: the least that a call in another process can take: a number and its square, nothing
 * else.  Through two futexes when both sides sleep, not pinned, as a pool's processes are not,
 * or on one CPU each, or both on one; through memory alone when both sides spin.
 */
#include "harness/bench.h"
#include "harness/futex.h"

#include <stdlib.h>

/* One direction, on a cache line of its own: the value is there when turn changes. */
struct channel {
    _Alignas(64) _Atomic uint32_t turn;
    long value;
};

struct table {
    struct channel to_worker;
    struct channel to_client;
    bool spin;
};

static void hit(const struct table *table, struct channel *channel, long value)
{
    channel->value = value;
    atomic_fetch_add(&channel->turn, 1);
    if (!table->spin)
        futex_wake(&channel->turn, 1);
}

static long await(const struct table *table, struct channel *channel, uint32_t turn)
{
    while (atomic_load(&channel->turn) == turn)
        if (table->spin)
            spin_once();
        else
            futex_wait(&channel->turn, turn);
    return channel->value;
}

/* Until killed. */
static void serve(struct table *table)
{
    for (uint32_t turn = 0;; turn++)
        hit(table, &table->to_client, bench_square(await(table, &table->to_worker, turn)));
}

static uint64_t round_trip_ns(struct table *table, uint32_t turn)
{
    long x = (long)turn;
    uint64_t begin_ns = bench_now_ns();

    hit(table, &table->to_worker, x);

    long value = await(table, &table->to_client, turn);
    uint64_t took_ns = bench_now_ns() - begin_ns;

    bench_check(value == x * x, "ping-pong: wrong result");
    return took_ns;
}

static void measure(double scale, bool spin, bool part)
{
    uint32_t calls = (uint32_t)bench_count(10000, scale);
    uint64_t *took_ns = bench_alloc(calls * sizeof *took_ns);
    struct table *table = bench_shared(sizeof *table);

    table->spin = spin;

    pid_t server = bench_fork();

    if (server == 0)
        serve(table);
    if (part)
        bench_part_from_worker();
    for (uint32_t i = 0; i < BENCH_WARM_UP; i++)
        round_trip_ns(table, i);
    for (uint32_t i = 0; i < calls; i++)
        took_ns[i] = round_trip_ns(table, BENCH_WARM_UP + i);
    bench_end_child(server);
    bench_unshare(table, sizeof *table);
    bench_report_latency(took_ns, calls);
    free(took_ns);
}

BENCH_WORKLOAD(apply)
{
    measure(scale, false, false);
}

BENCH_WORKLOAD(apply_one_cpu)
{
    bench_use_one_cpu();
    measure(scale, false, false);
}

BENCH_WORKLOAD(apply_two_cpus)
{
    measure(scale, false, true);
}

BENCH_WORKLOAD(apply_spin)
{
    measure(scale, true, false);
}
