// SPDX-License-Identifier: MIT
//
// oneTBB: single calls are enqueued to an arena in which the caller has no part; many tasks
// are a task_group, in which it works, too.
#include "onetbb/event.hh"
#include "harness/peer.h"

#include <cstring>
#include <memory>
#include <tbb/concurrent_queue.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

namespace
{

std::unique_ptr<tbb::global_control> control;
std::unique_ptr<tbb::task_arena> with_caller, without_caller;

void start(int workers)
{
    auto threads = static_cast<std::size_t>(workers) + 1;

    control = std::make_unique<tbb::global_control>(
        tbb::global_control::max_allowed_parallelism, threads);
    with_caller = std::make_unique<tbb::task_arena>(workers);
    without_caller = std::make_unique<tbb::task_arena>(workers, 0);
}

void stop()
{
    with_caller.reset();
    without_caller.reset();
    control.reset();
}

// Outlives the call: the worker wakes the caller after it has set it.
Event event;

long square(long x)
{
    long value = -1;

    event.clear();
    without_caller->enqueue([x, &value] {
        value = bench_square(x);
        event.set();
    });
    event.wait();
    return value;
}

void echo(const void *from, void *to, std::size_t size)
{
    event.clear();
    without_caller->enqueue([=] {
        std::memcpy(to, from, size);
        event.set();
    });
    event.wait();
}

void run(bench_range *range, long count, long chunk)
{
    with_caller->execute([=] {
        tbb::task_group group;

        for (long i = 0; i < count; i += chunk) {
            long to = i + chunk < count ? i + chunk : count;

            group.run([=] { range(i, to); });
        }
        group.wait();
    });
}

long unordered(long count)
{
    static tbb::concurrent_bounded_queue<long> results;
    long sum = 0, value = 0;

    for (long i = 0; i < count; i++)
        without_caller->enqueue([i] { results.push(bench_square(i)); });
    for (long i = 0; i < count; i++) {
        results.pop(value);
        sum += value;
    }
    return sum;
}

} // namespace

extern "C" const struct bench_peer bench_peer = {
    false, false, false, start, stop, square, run, unordered, echo, nullptr,
};
