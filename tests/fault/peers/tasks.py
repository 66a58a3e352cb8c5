# SPDX-License-Identifier: MIT
"""Cases of faults in tasks and in workers; those in C are in tests/fault/cases.

Each case gets `make`, which makes a pool: make(workers, initializer, its arguments).
"""
import ctypes
import os
import platform
import signal
import stat
import struct
import threading
import time

from trial import (ANSWER_SECONDS, OTHERS, all_of, asked, at_fault, finish, in_words, must, nap,
                   place, same, say, skip, standard)

ONE_LOST = 'E/ok/ok/ok'
WRITE = {'x86_64': 1, 'aarch64': 64}   # the number of the system call


# ---- Workers that die


def killed():
    at_fault()
    os.kill(os.getpid(), signal.SIGKILL)


@must(ONE_LOST)
def c01_sigkill_midtask(make):
    standard(make(2), killed)


@must('-/ok/ok/ok')
def c02_sigkill_idle(make):
    """First one of two idle workers, then, in another pool, both of them."""
    for victims in (1, 2):
        pool = make(2)
        all_of(pool, [pool.submit(nap, i) for i in range(6)], ANSWER_SECONDS)
        time.sleep(0.5)
        for pid in pool.pids()[:victims]:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        others, why = 'E', 'submitting fails'
        try:
            others = all_of(pool, [pool.submit(nap, i) for i in range(OTHERS)], ANSWER_SECONDS)
            why = {'E': 'the pool is broken', 'H': 'nothing comes'}.get(others, '')
        except Exception as error:
            why = in_words(error)
        if others != 'ok' or victims == 2:
            say('task', '-')
            say('why', '%d killed: %s' % (victims, why) if why else '')
            say('others', others)
            say('after', asked(pool, same, 99)[0])
            finish(pool)
        pool.terminate()


def killed_writing():
    """Returns bytes, in whose sending another thread kills the process."""
    thread = threading.get_native_id()

    def watch():
        while True:
            with open('/proc/self/task/%d/syscall' % thread, encoding='ascii') as file:
                call = file.read().split()
            if call[0] == str(WRITE[platform.machine()]) and int(call[3], 16) > 1 << 20:
                break
            time.sleep(0.0003)
        time.sleep(0.01)
        killed()

    threading.Thread(target=watch, daemon=True).start()
    return bytes(256 << 20)


@must(ONE_LOST)
def c03_kill_in_send(make):
    if platform.machine() not in WRITE:
        skip('the number of write() is not known here')
    standard(make(2), killed_writing)


def read_null():
    at_fault()
    ctypes.string_at(0)


@must(ONE_LOST)
def c04_segv(make):
    standard(make(2), read_null)


def exit_0():
    at_fault()
    os._exit(0)


@must(ONE_LOST)
def c05_exit0(make):
    standard(make(2), exit_0)


def stopped():
    at_fault()
    os.kill(os.getpid(), signal.SIGSTOP)


@must(ONE_LOST)
def c06_sigstop(make):
    """With a time limit for the task, where the library has such."""
    standard(make(2), stopped, limit=1)


# ---- Initializers


def init_raises():
    raise RuntimeError('the initializer')


@must('E/E/E/ok')
def c07_init_raises(make):
    standard(make(2, init_raises), same, 1)


def init_crashes():
    ctypes.string_at(0)


@must('E/E/E/ok')
def c08_init_crashes(make):
    standard(make(2, init_crashes), same, 1)


def init_exits():
    with open(place('starts'), 'ab') as file:
        file.write(b'.')
    os._exit(1)


@must('E/-/-/ok')
def c32_fork_storm(make):
    """How many workers are started in vain, in two seconds?"""
    pool, start = make(2, init_exits), time.monotonic()
    answer = asked(pool, same, 1, seconds=2)[0]
    time.sleep(max(0, start + 2 - time.monotonic()))
    started = os.path.getsize(place('starts')) if os.path.exists(place('starts')) else 0
    say('note', '%d started in %.0f s' % (started, time.monotonic() - start))
    say('task', answer if answer != 'H' else asked(pool, same, 1, seconds=ANSWER_SECONDS)[0])
    say('others', '-')
    say('after', '-')
    finish(pool)


# ---- Exceptions, results and arguments that make no sense


class TwoArguments(Exception):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b


def raise_unloadable():
    at_fault()
    raise TwoArguments(1, 2)


@must(ONE_LOST)
def c09_exc_unpicklable(make):
    standard(make(2), raise_unloadable)


def raise_with_lock():
    at_fault()
    error = RuntimeError('with a lock')
    error.lock = threading.Lock()
    raise error


@must(ONE_LOST)
def c10_exc_nopickle(make):
    standard(make(2), raise_with_lock)


def return_lock():
    at_fault()
    return threading.Lock()


@must(ONE_LOST)
def c11_result_unpicklable(make):
    standard(make(2), return_lock)


def raise_value_error():
    raise ValueError('while it is loaded')


class Unloadable:
    def __reduce__(self):
        return raise_value_error, ()


def return_unloadable():
    at_fault()
    return Unloadable()


@must(ONE_LOST)
def c12_result_unloadable(make):
    standard(make(2), return_unloadable)


@must(ONE_LOST)
def c13_arg_unpicklable(make):
    standard(make(2), same, threading.Lock())


@must(ONE_LOST)
def c14_arg_unloadable(make):
    standard(make(2), same, Unloadable())


def write_garbage():
    """Into each pipe that the worker has: a length that is valid, then junk."""
    at_fault()
    for descriptor in range(3, 64):
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                os.set_blocking(descriptor, False)
                os.write(descriptor, struct.pack('!i', 60) + b'\xff' * 60)
        except OSError:
            pass
    return 1


@must('ok/ok/ok/ok', ONE_LOST)
def c30_worker_writes_garbage(make):
    standard(make(2), write_garbage)


OWNER = 0


class Code:
    def __reduce__(self):
        return exec, ('import os, tasks; tasks.OWNER = os.getpid()',)


def return_code():
    return Code()


@must('ok/-/-/ok', 'E/-/-/ok')
def c31_pickle_exec(make):
    """Does what a worker returns run in the client?"""
    pool = make(2)
    say('task', asked(pool, return_code, seconds=ANSWER_SECONDS)[0])
    if OWNER == os.getpid():
        say('word', 'owned')
        say('why', "the worker's code has run in the client")
    say('others', '-')
    say('after', '-')
    finish(pool)
