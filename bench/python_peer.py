# SPDX-License-Identifier: MIT
"""What the benchmark's peers in Python share: the work, checking, and a main().

A peer describes its pool by a class with the methods of Peer and calls main().  The same
work as the peers in C do, with fewer calls where a call takes long.
"""
import math
import os
import signal
import sys
import time

WORKERS = 2
WARM_UP = 200
DEADLY = 500


class Peer:
    """A pool that is being measured; workloads that need what is missing are not listed."""

    def __init__(self, workers=WORKERS):
        raise NotImplementedError

    # call(function, x); submit(function, x), whose result get(result) returns;
    # map(items, chunksize); ordered(items) and unordered(items), iterators; stop()


def count(full, scale):
    return max(1, int(full * scale))


def report(metric, value, unit):
    print(metric, '%.6g' % value, unit)


def check(right, what):
    if not right:
        sys.exit(what)


def percentile(samples, fraction):
    return sorted(samples)[int(fraction * (len(samples) - 1) + 0.5)]


def use_one_cpu():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


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


def fragile(x):
    if x == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def run_command(_):
    return os.spawnv(os.P_WAIT, '/bin/true', ['true'])


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


# ---- Processes


def parents():
    """{process: its parent}"""
    found = {}
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % name) as file:
                state, parent = file.read().rpartition(')')[2].split()[:2]
        except OSError:
            continue
        if state != 'Z':
            found[int(name)] = int(parent)
    return found


def children():
    return [pid for pid, parent in parents().items() if parent == os.getpid()]


def memory_of(pid):
    with open('/proc/%d/smaps_rollup' % pid) as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith('Pss:'))


def use_of(pids):
    """CPU ticks and context switches"""
    ticks = switches = 0
    for pid in pids:
        with open('/proc/%d/stat' % pid) as file:
            ticks += sum(map(int, file.read().rpartition(')')[2].split()[11:13]))
        with open('/proc/%d/status' % pid) as file:
            switches += sum(int(line.split()[1]) for line in file if 'ctxt_switches' in line)
    return ticks, switches


# ---- The workloads


def warm(peer_class, workers=WORKERS):
    peer = peer_class(workers)
    for i in range(WARM_UP):
        check(peer.call(square, i) == i * i, 'a call failed')
    return peer


def apply(peer_class, scale):
    took, peer = [], warm(peer_class)
    for i in range(count(2000, scale)):
        begin = time.perf_counter()
        value = peer.call(square, i)
        took.append(time.perf_counter() - begin)
        check(value == i * i, 'apply: wrong result')
    peer.stop()
    report('median', percentile(took, 0.5), 's')
    report('p99', percentile(took, 0.99), 's')


def apply_one_cpu(peer_class, scale):
    use_one_cpu()
    apply(peer_class, scale)


def apply_async(peer_class, scale):
    calls, peer = count(10000, scale), warm(peer_class)
    begin = time.perf_counter()
    results = [peer.submit(square, i) for i in range(calls)]
    values = [peer.get(result) for result in results]
    took = time.perf_counter() - begin
    peer.stop()
    check(values == [i * i for i in range(calls)], 'apply_async: wrong result')
    report('rate', calls / took, '/s')


def apply_async_one_cpu(peer_class, scale):
    use_one_cpu()
    apply_async(peer_class, scale)


def measure_map(peer_class, items, chunksize):
    peer = warm(peer_class)
    begin = time.perf_counter()
    values = peer.map(items, chunksize)
    took = time.perf_counter() - begin
    peer.stop()
    check(values == [i * i for i in items], 'map: wrong result')
    report('rate', len(items) / took, '/s')


def map_default(peer_class, scale):
    measure_map(peer_class, list(range(count(peer_class.DEFAULT_MAP, scale))), None)


def map_chunk1(peer_class, scale):
    measure_map(peer_class, list(range(count(20000, scale))), 1)


def map_commands(peer_class, scale):
    commands, peer = count(500, scale), warm(peer_class)
    begin = time.perf_counter()
    results = [peer.submit(run_command, i) for i in range(commands)]
    values = [peer.get(result) for result in results]
    took = time.perf_counter() - begin
    peer.stop()
    check(values == [0] * commands, 'map_commands: a command failed')
    report('rate', commands / took, '/s')


def measure_echo(peer_class, size, calls):
    took, peer = [], warm(peer_class)
    for i in range(-1, calls):
        data = bytes([i & 255]) * size
        begin = time.perf_counter()
        back = peer.call(echo, data)
        took.append(time.perf_counter() - begin)
        check(back == data, 'echo: wrong bytes')
        begin = time.perf_counter()
        del back
        took[-1] += time.perf_counter() - begin
    peer.stop()
    report('rate', size / percentile(took[1:], 0.5), 'B/s')


def echo_1KB(peer_class, scale):
    measure_echo(peer_class, 1 << 10, count(2000, scale))


def echo_1MB(peer_class, scale):
    measure_echo(peer_class, 1 << 20, count(60, scale))


def echo_64MB(peer_class, scale):
    measure_echo(peer_class, 64 << 20, count(3, scale))


def measure_iterator(peer_class, method, scale):
    """As many items as are read: it would draw an endless input without limit."""
    items, peer = range(count(10000, scale)), warm(peer_class)
    begin = time.perf_counter()
    values = list(method(peer, items))
    took = time.perf_counter() - begin
    peer.stop()
    check(sorted(values) == [i * i for i in items], 'imap: wrong result')
    report('rate', len(items) / took, '/s')


def imap(peer_class, scale):
    measure_iterator(peer_class, peer_class.ordered, scale)


def imap_unordered(peer_class, scale):
    measure_iterator(peer_class, peer_class.unordered, scale)


def imap_unordered_one_cpu(peer_class, scale):
    use_one_cpu()
    imap_unordered(peer_class, scale)


def measure_start(peer_class, workers, pools):
    took = []
    for _ in range(1 + pools):
        begin = time.perf_counter()
        peer = peer_class(workers)
        value = peer.call(square, 5)
        peer.stop()
        del peer
        took.append(time.perf_counter() - begin)
        check(value == 25, 'start: wrong result')
    report('median', percentile(took[1:], 0.5), 's')


def start(peer_class, scale):
    measure_start(peer_class, WORKERS, count(10, scale))


def start_64(peer_class, scale):
    measure_start(peer_class, 64, count(3, scale))


def memory(peer_class, _):
    for workers in (WORKERS, 64):
        peer = warm(peer_class, workers)
        time.sleep(0.02)
        pids = children()
        check(0 < len(pids) <= workers, 'memory: not as many workers as there should be')
        report('worker_of_%d' % workers, sum(map(memory_of, pids)) / len(pids), 'B')
        peer.stop()


def idle(peer_class, scale):
    peer = warm(peer_class)
    time.sleep(0.3)
    pids = children()
    before = use_of(pids)
    time.sleep(5 * scale)
    after = use_of(pids)
    peer.stop()
    report('ticks', after[0] - before[0], 'n')
    report('switches', after[1] - before[1], 'n')


def makespan(peer_class, scale):
    tasks, peer = durations(count(2000, scale)), warm(peer_class)
    lanes = min(WORKERS, len(os.sched_getaffinity(0)))
    begin = time.perf_counter()
    results = [peer.submit(burn, ns) for ns in tasks]
    values = [peer.get(result) for result in results]
    took = time.perf_counter() - begin
    peer.stop()
    check(values == tasks, 'makespan: wrong result')
    report('over_ideal', took * lanes * 1e9 / sum(tasks), 'x')


def queued(peer_class, scale):
    """What calls take that wait; here also those that the two sleepers do not hold back."""
    calls, peer = count(20000, scale), warm(peer_class)
    guards = [peer.submit(time.sleep, 1) for _ in range(WORKERS)]
    pids = [os.getpid(), *children()]
    before = sum(map(memory_of, pids))
    results = [peer.submit(square, i) for i in range(calls)]
    report('per_call', (sum(map(memory_of, pids)) - before) / calls, 'B')
    for guard in guards:
        peer.get(guard)
    values = [peer.get(result) for result in results]
    check(values == [i * i for i in range(calls)], 'queued: wrong result')
    peer.stop()


def crash(peer_class, _):
    """Ends the program without stopping the pool, which may not be able to."""
    peer = warm(peer_class)
    results = []
    for i in range(2 * DEADLY):
        try:
            results.append(peer.submit(fragile, i))
        except Exception as error:   # it is broken already
            results.append(error)
    outcomes, patience_s = [], 1
    for i, result in enumerate(results):
        try:
            right = not isinstance(result, Exception) and \
                peer.get(result, patience_s) == i * i
            outcomes.append('right' if right else 'errors')
        except peer.TIMEOUT:
            outcomes.append('no_answer')
            patience_s = 0.1
        except Exception:
            outcomes.append('errors')
    for kind in ('right', 'errors', 'no_answer'):
        report(kind, outcomes.count(kind), 'n')
    sys.stdout.flush()
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    os._exit(0)


WORKLOADS = {function.__name__: function for function in (
    apply, apply_one_cpu, apply_async, apply_async_one_cpu, map_default, map_chunk1,
    map_commands, echo_1KB, echo_1MB, echo_64MB, imap, imap_unordered, imap_unordered_one_cpu,
    start, start_64, memory, idle, makespan, queued, crash)}


def main(peer_class):
    if sys.argv[1:] == ['list']:
        print('\n'.join(name for name in WORKLOADS if name not in peer_class.LACKS))
    elif len(sys.argv) == 3 and sys.argv[1] in WORKLOADS and float(sys.argv[2]) > 0:
        WORKLOADS[sys.argv[1]](peer_class, float(sys.argv[2]))
    else:
        sys.exit('usage: %s list | WORKLOAD SCALE' % os.path.basename(sys.argv[0]))
