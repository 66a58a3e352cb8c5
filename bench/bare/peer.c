/* SPDX-License-Identifier: MIT */
/*
 * bare: what a process pool can be if it does nothing but run tasks: forked workers, a ring
 * in shared memory, a throttled wake.  No handles, no order, no fault is noticed.
 */
#include "ring.h"

#include "harness/peer.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { MAX_WORKERS = 256, TAKEN_AT_ONCE = 16 };

static const size_t payload_size = 64 << 20;

enum kind { RANGE, SQUARE, COPY, STREAM };

struct counter {
    _Alignas(CACHE_LINE) _Atomic uint64_t done;
};

struct table {
    struct ring tasks;
    struct ring results;
    _Alignas(CACHE_LINE) _Atomic uint32_t stop;
    _Alignas(CACHE_LINE) _Atomic uint32_t answers; /* single calls that are done */
    _Atomic uint32_t asleep;                       /* who waits for an answer */
    long value;
    _Alignas(CACHE_LINE) _Atomic uint32_t finished; /* bell of run() */
    _Atomic uint32_t waiting;                       /* someone waits in run() ... */
    uint64_t target;                                /* ... for so many ranges */
    struct counter counters[MAX_WORKERS];
};

static struct table *table;
static char *sent, *returned; /* payloads there and back */
static pid_t workers[MAX_WORKERS];
static int worker_count;
static uint64_t spin_ns;

static uint64_t ranges_done(void)
{
    uint64_t sum = 0;

    for (int i = 0; i < worker_count; i++)
        sum += atomic_load_explicit(&table->counters[i].done, memory_order_acquire);
    return sum;
}

/* ---- In a worker ---- */

static void answer(void)
{
    atomic_fetch_add(&table->answers, 1);
    if (atomic_load(&table->asleep))
        futex_wake(&table->answers, 1);
}

static void hand_out(long value)
{
    struct work result = { .argument = (uint64_t)value };

    while (!ring_push(&table->results, &result)) {
        ring_wake(&table->results);
        sched_yield();
    }
    ring_wake(&table->results);
}

static void do_work(const struct work *work, struct counter *counter)
{
    switch ((enum kind)work->kind) {
    case RANGE:
        ((bench_range *)work->argument)(work->from, work->to);
        atomic_store_explicit(&counter->done, counter->done + 1, memory_order_release);
        break;
    case STREAM:
        hand_out(bench_square(work->from));
        break;
    case COPY:
        memcpy(returned, sent, work->argument);
        answer();
        break;
    case SQUARE:
        table->value = bench_square(work->from);
        answer();
    }
}

/* The last worker that runs out of ranges tells run(). */
static void tell_when_done(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&table->waiting, memory_order_relaxed) ||
        ranges_done() != table->target)
        return;
    atomic_store(&table->waiting, 0);
    atomic_fetch_add(&table->finished, 1);
    futex_wake(&table->finished, 1);
}

static void serve(struct counter *counter)
{
    struct work work;

    for (;;) {
        if (ring_pop(&table->tasks, &work, 1)) {
            do_work(&work, counter);
            continue;
        }
        tell_when_done();
        if (atomic_load(&table->stop))
            _exit(0);
        ring_wait(&table->tasks, spin_ns, &table->stop);
    }
}

/* ---- In the client ---- */

static void *map(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    bench_check(memory != MAP_FAILED, "out of shared memory");
    return memory;
}

static void start(int count)
{
    bench_check(count <= MAX_WORKERS, "too many workers");
    table = map(sizeof *table);
    sent = map(payload_size);
    returned = map(payload_size);
    ring_init(&table->tasks);
    ring_init(&table->results);
    worker_count = count;
    for (int i = 0; i < count; i++) {
        workers[i] = bench_fork();
        if (workers[i] == 0)
            serve(&table->counters[i]);
    }
}

static void stop(void)
{
    atomic_store(&table->stop, 1);
    atomic_fetch_add(&table->tasks.bell, 1);
    futex_wake(&table->tasks.bell, MAX_WORKERS);
    for (int i = 0; i < worker_count; i++)
        waitpid(workers[i], NULL, 0);
    munmap(table, sizeof *table);
    munmap(sent, payload_size);
    munmap(returned, payload_size);
}

static void submit(struct work work)
{
    for (int tries = 1; !ring_push(&table->tasks, &work); tries++)
        if (tries % 100)
            spin_once();
        else
            sched_yield();
    ring_wake(&table->tasks);
}

static bool spin_for_answer(uint32_t before)
{
    uint64_t end_ns = spin_ns ? bench_now_ns() + spin_ns : 0;

    while (end_ns && bench_now_ns() < end_ns)
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(&table->answers, memory_order_acquire) != before)
                return true;
            spin_once();
        }
    return false;
}

static void call(struct work work)
{
    uint32_t before = atomic_load(&table->answers);

    submit(work);
    if (spin_for_answer(before))
        return;
    atomic_store(&table->asleep, 1);
    while (atomic_load(&table->answers) == before)
        futex_wait(&table->answers, before);
    atomic_store(&table->asleep, 0);
}

static long square(long x)
{
    call((struct work){ .kind = SQUARE, .from = x });
    return table->value;
}

/* Copies three times: in, by the worker, out. */
static void echo(const void *from, void *to, size_t size)
{
    memcpy(sent, from, size);
    call((struct work){ .kind = COPY, .argument = size });
    memcpy(to, returned, size);
}

static void run(bench_range *range, long count, long chunk)
{
    table->target = ranges_done() + (uint64_t)((count + chunk - 1) / chunk);
    for (long i = 0; i < count; i += chunk)
        submit((struct work){ .kind = RANGE,
                              .argument = (uint64_t)range,
                              .from = i,
                              .to = i + chunk < count ? i + chunk : count });
    for (;;) {
        uint32_t bell = atomic_load(&table->finished);

        atomic_store(&table->waiting, 1);
        if (ranges_done() == table->target)
            break;
        futex_wait(&table->finished, bell);
    }
    atomic_store(&table->waiting, 0);
}

static long take_results(long *sum)
{
    struct work results[TAKEN_AT_ONCE];
    size_t count;
    long got = 0;

    while ((count = ring_pop(&table->results, results, TAKEN_AT_ONCE)) > 0) {
        for (size_t i = 0; i < count; i++)
            *sum += (long)results[i].argument;
        got += (long)count;
    }
    return got;
}

static bool stream(long x)
{
    struct work work = { .kind = STREAM, .from = x };

    if (!ring_push(&table->tasks, &work))
        return false;
    ring_wake(&table->tasks);
    return true;
}

static long unordered(long count)
{
    long sum = 0, sent_count = 0, got = 0;

    while (got < count) {
        if (sent_count < count && stream(sent_count)) {
            sent_count++;
            if (sent_count - got < RING_CELLS / 2)
                continue;
        }
        got += take_results(&sum);
        if (got < count && (sent_count == count || sent_count - got >= RING_CELLS))
            ring_wait(&table->results, spin_ns, &table->stop);
    }
    return sum;
}

static void spin(void)
{
    spin_ns = 20000;
}

const struct bench_peer bench_peer = {
    .processes = true,
    .start = start,
    .stop = stop,
    .square = square,
    .run = run,
    .unordered = unordered,
    .echo = echo,
    .spin = spin,
};
