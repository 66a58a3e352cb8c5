# SPDX-License-Identifier: MIT
"""Cases of faults around the pool: its client, what runs out, its end.

Each case gets `make`, which makes a pool: make(workers, initializer, its arguments).
"""
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time

import processes
from tasks import ONE_LOST, exit_0
from trial import (ANSWER_SECONDS, END_SECONDS, LATER_SECONDS, OTHERS, WAITING, all_of, asked,
                   at_fault, end, finish, leave, limited, must, nap, outcome, outcome_of_long,
                   same, say, skip, standard)

# ---- The client


def sleep_long(i):
    time.sleep(60 + i)


def client_idle(make):
    pool = make(4)
    all_of(pool, [pool.submit(nap, i) for i in range(8)], ANSWER_SECONDS)
    print('ready', flush=True)
    time.sleep(100)


def client_busy(make):
    pool = make(4)
    handles = [pool.submit(sleep_long, i) for i in range(4)]
    time.sleep(1)
    print('ready', len(handles), flush=True)
    time.sleep(100)


def client(role):
    """Runs one of these functions in a process of its own, up to where it is ready."""
    program = subprocess.Popen([sys.executable, '-B', *sys.argv[:2], role], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)
    while not program.stdout.readline().startswith('ready'):
        if program.poll() is not None:
            raise RuntimeError(role + ' ends early')
    return program


@must('-/-/-/-')
def c15_parent_sigkill(make):
    """Do workers outlive their client by 5 s, idle ones and busy ones?"""
    processes.adopt_orphans()
    left = []
    for role in ('client_idle', 'client_busy'):
        program = client(role)
        program.kill()
        program.wait()
        left.append(len(processes.left_after(5)))
        processes.end_all()
    for part in ('task', 'others', 'after', 'end'):
        say(part, '-')
    say('left', sum(left))
    say('note', '%d idle, %d busy of 4' % tuple(left))
    leave()


def nap_long(i):
    time.sleep(1)
    return i


def client_map(make):
    """A program as it is usually written."""
    if sys.argv[1] == 'loky':
        import joblib
        print('ready', flush=True)
        joblib.Parallel(4)(joblib.delayed(nap_long)(i) for i in range(40))
        return
    pool = make(4)
    with pool.pool:
        print('ready', flush=True)
        pool.map(nap_long, range(40))


@must('-/-/-/ok')
def c16_ctrl_c(make):
    """Ctrl-C while a map runs: how long until the program has ended?"""
    program = client('client_map')
    time.sleep(1.5)
    start = time.monotonic()
    os.killpg(program.pid, signal.SIGINT)
    for part in ('task', 'others', 'after'):
        say(part, '-')
    try:
        lines = len(program.communicate(timeout=ANSWER_SECONDS)[1].splitlines())
        say('answer_ms', '%.1f' % ((time.monotonic() - start) * 1000))
        say('note', '%.1f s, %d lines' % (time.monotonic() - start, lines))
        say('end', 'ok')
    except subprocess.TimeoutExpired:
        say('end', 'H')
        os.killpg(program.pid, signal.SIGINT)
        try:
            program.communicate(timeout=LATER_SECONDS)
            say('note', 'ended by a second Ctrl-C')
        except subprocess.TimeoutExpired:
            say('note', 'a second Ctrl-C does not help')
    leave()


# ---- Resources that run out


def become_nobody():
    """Limits on processes do not hold for root."""
    if os.geteuid() != 0:
        skip('needs root, which can become a user without processes')
    user = 50000 + os.getpid() % 10000
    os.environ['HOME'] = '/tmp'
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def use_and_end(make, workers, which, most):
    """Makes a pool and uses it, as far as that goes under a limit; ends it without one."""
    pools, others, old = [], [], resource.getrlimit(which)
    resource.setrlimit(which, (most, old[1]))

    def use():
        pools.append(make(workers))
        handles = [pools[0].submit(nap, i) for i in range(OTHERS)]
        others.append(all_of(pools[0], handles, ANSWER_SECONDS))

    say('task', limited(use, ANSWER_SECONDS + LATER_SECONDS))
    resource.setrlimit(which, old)
    say('others', others[0] if others else '-')
    say('after', '-')
    if pools:
        finish(pools[0])
    say('end', '-')
    leave()


@must('E/-/-/-', 'E/-/-/ok', 'E/E/-/ok', 'ok/E/-/ok', 'ok/ok/-/ok')
def c17_fork_fails_create(make):
    """8 workers where 4 processes may be: an error or fewer of them, but an answer."""
    become_nobody()
    use_and_end(make, 8, resource.RLIMIT_NPROC, 4)


@must(ONE_LOST)
def c18_fork_fails_replace(make):
    """A worker dies while no process can be made; 3 s later they can again."""
    become_nobody()
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    limited_now, lifted = threading.Event(), threading.Event()

    def lift():
        limited_now.wait()
        time.sleep(3)
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
        lifted.set()

    threading.Thread(target=lift, daemon=True).start()
    pool = make(2)
    all_of(pool, [pool.submit(nap, i) for i in range(6)], ANSWER_SECONDS)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
    limited_now.set()
    standard(pool, exit_0, before_end=lifted.wait)


@must('E/-/-/-', 'E/-/-/ok', 'E/E/-/ok', 'ok/ok/-/ok')
def c19_fd_exhaustion(make):
    """50 workers with 20 descriptors."""
    if sys.argv[1] != 'loky':
        make(1).terminate()   # modules are loaded before the limit
    use_and_end(make, 50, resource.RLIMIT_NOFILE, 20)


def init_limited():
    resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))


def take_2_gb():
    at_fault()
    return len(bytearray(2 << 30))


@must(ONE_LOST)
def c20_rlimit_as(make):
    standard(make(2, init_limited), take_2_gb)


def small_cgroup(limit):
    """A new memory cgroup below that of this process; None where that cannot be had."""
    with open('/proc/self/cgroup', encoding='ascii') as file:
        lines = [line.strip().split(':', 2) for line in file]
    for _, controllers, path in lines:
        if controllers == 'memory':
            group, knob = '/sys/fs/cgroup/memory' + path, 'memory.limit_in_bytes'
        elif controllers == '':
            group, knob = '/sys/fs/cgroup' + path, 'memory.max'
        else:
            continue
        group = os.path.join(group, 'fault-%d' % os.getpid())
        try:
            os.mkdir(group)
            with open(os.path.join(group, knob), 'r+', encoding='ascii') as file:
                file.write(str(limit))
            return group
        except OSError:
            remove_cgroup(group)
    return None


def remove_cgroup(group):
    try:
        os.rmdir(group)
    except OSError:
        pass   # it never was, or somebody lives in it


def init_cgroup(group):
    with open(os.path.join(group, 'cgroup.procs'), 'w', encoding='ascii') as file:
        file.write(str(os.getpid()))


def take_400_mb():
    at_fault()
    return len([bytearray(4 << 20) for _ in range(100)])


@must(ONE_LOST)
def c21_cgroup_oom(make):
    group = small_cgroup(96 << 20)
    if not group:
        skip('no memory cgroup can be made here')
    if os.fork() == 0:
        standard(make(2, init_cgroup, (group,)), take_400_mb)
    status = os.wait()[1]
    remove_cgroup(group)
    os._exit(os.waitstatus_to_exitcode(status) != 0)


def status_mb(field):
    with open('/proc/self/status', encoding='ascii') as file:
        return [int(line.split()[1]) for line in file if line.startswith(field)][0] / 1024


@must('-/ok/-/ok')
def c24_million(make):
    """50,000 calls queued at once, since a million take minutes: memory and time of each."""
    pool, count = make(2), 50000
    asked(pool, same, 1)
    before, start = status_mb('VmRSS'), time.monotonic()
    handles = [pool.submit(same, i) for i in range(count)]
    each = (status_mb('VmRSS') - before) * (1 << 20) / count
    say('task', '-')
    say('others', all_of(pool, handles, 60))
    say('after', '-')
    seconds = time.monotonic() - start
    say('note', '%.1f KB, %.0f µs each' % (each / 1000, seconds * 1e6 / count))
    finish(pool)


def return_3_gib():
    return bytes(3 << 30)


@must('ok/-/ok/ok')
def c25_result_3gb(make):
    if os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') < 10 << 30:
        skip('needs 10 GB of memory')
    pool, start = make(2), time.monotonic()
    task, why = outcome_of_long(pool, pool.submit(return_3_gib))
    say('task', task)
    say('why', why if task != 'ok' else '')
    say('note', '%.0f s, %.1f GB' % (time.monotonic() - start, status_mb('VmHWM') / 1024))
    say('others', '-')
    say('after', asked(pool, same, 99)[0])
    finish(pool)


# ---- Ending, and use where it is not meant


def endless():
    while True:
        time.sleep(1)


def endless_ignoring():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    endless()


def terminated(make, task):
    pool = make(2)
    handle = pool.submit(task)
    time.sleep(0.5)
    end(pool)
    say('task', outcome(pool, handle, LATER_SECONDS)[0])
    say('others', '-')
    say('after', '-')
    leave()


@must('E/-/-/ok')
def c22_endless_terminate(make):
    terminated(make, endless)


@must('E/-/-/ok')
def c23_sigterm_ignored(make):
    terminated(make, endless_ignoring)


def raise_in_client(*_):
    raise RuntimeError('the callback')


@must('-/ok/ok/ok')
def c26_callback_raises(make):
    pool = make(2)
    handles = [pool.submit(nap, i, callback=raise_in_client if i == WAITING else None)
               for i in range(OTHERS)]
    say('task', '-')
    say('others', all_of(pool, handles, ANSWER_SECONDS))
    say('after', asked(pool, same, 99)[0])
    finish(pool)



@must('E/-/-/-')
def c27_after_close(make):
    pool = make(2)
    asked(pool, same, 1)
    pool.close()
    task, why = asked(pool, same, 2)
    say('task', task)
    say('why', why)
    for part in ('others', 'after', 'end'):
        say(part, '-')
    leave()


@must('E/-/ok/ok')
def c28_forked_child(make):
    """The pool is used in a child that its client has forked."""
    pool = make(2)
    all_of(pool, [pool.submit(nap, i) for i in range(4)], ANSWER_SECONDS)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, asked(pool, same, 7, seconds=END_SECONDS)[0].encode())
        os._exit(0)
    os.close(writing)
    answers = select.select([reading], [], [], END_SECONDS + LATER_SECONDS)[0]
    say('task', os.read(reading, 10).decode() or 'E' if answers else 'H')
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    say('others', '-')
    say('after', asked(pool, same, 99)[0])
    finish(pool)


LOCK = threading.Lock()


def take_lock():
    with LOCK:
        return 1


@must('ok/-/-/ok')
def c29_fork_lock_held(make):
    """A lock is held by another thread while the pool is made; a task takes it."""
    LOCK.acquire()
    threading.Timer(2, LOCK.release).start()
    pool = make(2)
    say('task', asked(pool, take_lock, seconds=ANSWER_SECONDS)[0])
    say('others', '-')
    say('after', '-')
    finish(pool)
