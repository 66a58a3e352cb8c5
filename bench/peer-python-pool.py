#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Python's multiprocessing.Pool as a peer of the benchmark.

usage: peer-python-pool.py list | WORKLOAD SCALE

The same work as the peers in C do, through the same kind of calls, with the
fork start method and fewer calls where a call takes long.
"""
import math
import multiprocessing
import os
import sys
import time

WORKERS = 2
WARM_UP = 200
WORKLOADS = {}


def workload(function):
    WORKLOADS[function.__name__] = function
    return function


def count(full, scale):
    return max(1, int(full * scale))


def report(metric, value, unit):
    print(metric, '%.6g' % value, unit)


def check(right, what):
    if not right:
        sys.exit('peer-python-pool: ' + what)


def percentile(samples, fraction):
    return sorted(samples)[int(fraction * (len(samples) - 1) + 0.5)]


# ---- The work


def square(x):
    return x * x


def burn(ns):
    end = time.thread_time_ns() + ns
    while time.thread_time_ns() < end:
        pass
    return ns


def echo(data):
    return data


def durations(n):
    """The list that bench_durations() makes: splitmix64, exponential, mean 1 ms."""
    state, mask, result = 12345, 2**64 - 1, []
    for _ in range(n):
        state = (state + 0x9e3779b97f4a7c15) & mask
        z = ((state ^ (state >> 30)) * 0xbf58476d1ce4e5b9) & mask
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & mask
        z ^= z >> 31
        result.append(int(-math.log(((z >> 11) + 1) / 2**53) * 1e6))
    return result


def new_pool():
    return multiprocessing.get_context('fork').Pool(WORKERS)


def warm_pool():
    pool = new_pool()
    for _ in range(WARM_UP):
        check(pool.apply(square, (5,)) == 25, 'a call failed')
    return pool


def stop_pool(pool):
    pool.close()
    pool.join()


# ---- The workloads


@workload
def apply(scale):
    took, pool = [], warm_pool()
    for i in range(count(2000, scale)):
        begin = time.perf_counter()
        value = pool.apply(square, (i,))
        took.append(time.perf_counter() - begin)
        check(value == i * i, 'apply: wrong result')
    stop_pool(pool)
    report('median', percentile(took, 0.5), 's')
    report('p99', percentile(took, 0.99), 's')


@workload
def apply_async(scale):
    calls, pool = count(20000, scale), warm_pool()
    begin = time.perf_counter()
    results = [pool.apply_async(square, (i,)) for i in range(calls)]
    values = [result.get() for result in results]
    took = time.perf_counter() - begin
    stop_pool(pool)
    check(values == [i * i for i in range(calls)], 'apply_async: wrong result')
    report('rate', calls / took, '/s')


def measure_map(items, chunksize):
    pool = warm_pool()
    begin = time.perf_counter()
    values = pool.map(square, items, chunksize)
    took = time.perf_counter() - begin
    stop_pool(pool)
    check(values == [i * i for i in items], 'map: wrong result')
    report('rate', len(items) / took, '/s')


@workload
def map_default(scale):
    measure_map(list(range(count(1000000, scale))), None)


@workload
def map_chunk1(scale):
    measure_map(list(range(count(100000, scale))), 1)


def measure_echo(size, calls):
    took, pool = [], warm_pool()
    for i in range(-1, calls):
        data = bytes([i & 255]) * size
        begin = time.perf_counter()
        back = pool.apply(echo, (data,))
        took.append(time.perf_counter() - begin)
        check(back == data, 'echo: wrong bytes')
        begin = time.perf_counter()
        del back
        took[-1] += time.perf_counter() - begin
    stop_pool(pool)
    report('rate', size / percentile(took[1:], 0.5), 'B/s')


@workload
def echo_1KB(scale):
    measure_echo(1 << 10, count(2000, scale))


@workload
def echo_1MB(scale):
    measure_echo(1 << 20, count(60, scale))


@workload
def echo_64MB(scale):
    measure_echo(64 << 20, count(3, scale))


@workload
def imap(scale):
    """As many items as are read: it would draw an endless input without limit."""
    items, pool = count(20000, scale), warm_pool()
    begin = time.perf_counter()
    values = list(pool.imap(square, range(items)))
    took = time.perf_counter() - begin
    stop_pool(pool)
    check(values == [i * i for i in range(items)], 'imap: wrong result')
    report('rate', items / took, '/s')


@workload
def start(scale):
    took = []
    for _ in range(1 + count(10, scale)):
        begin = time.perf_counter()
        pool = new_pool()
        value = pool.apply(square, (5,))
        stop_pool(pool)
        del pool
        took.append(time.perf_counter() - begin)
        check(value == 25, 'start: wrong result')
    report('median', percentile(took[1:], 0.5), 's')


@workload
def makespan(scale):
    tasks, pool = durations(count(2000, scale)), warm_pool()
    lanes = min(WORKERS, len(os.sched_getaffinity(0)))
    begin = time.perf_counter()
    results = [pool.apply_async(burn, (ns,)) for ns in tasks]
    values = [result.get() for result in results]
    took = time.perf_counter() - begin
    stop_pool(pool)
    check(values == tasks, 'makespan: wrong result')
    report('over_ideal', took * lanes * 1e9 / sum(tasks), 'x')


if __name__ == '__main__':
    if sys.argv[1:] == ['list']:
        print('\n'.join(WORKLOADS))
    elif len(sys.argv) == 3 and sys.argv[1] in WORKLOADS and float(sys.argv[2]) > 0:
        WORKLOADS[sys.argv[1]](float(sys.argv[2]))
    else:
        sys.exit('usage: peer-python-pool.py list | WORKLOAD SCALE')
