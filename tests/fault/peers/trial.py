# SPDX-License-Identifier: MIT
"""What the cases share: asking a pool with limits, and saying what came of it.

A case says, one key=value per line as soon as it is known, how four things end:
task (the faulty one), others (20 other tasks), after (a task that comes later) and end
(terminating the pool); each of them ok, E for an error, H where nothing comes, or -.
Whoever reads this takes what is missing, because the program had to be ended, for H.
"""
import os
import sys
import threading
import time

import processes

FACTOR = float(os.environ.get('TEST_TIME_FACTOR', 1))   # as for the cases in C
ANSWER_SECONDS = 12 * FACTOR   # billiard gives up a task that is lost after 10
LATER_SECONDS = 3 * FACTOR
END_SECONDS = 5 * FACTOR
LONG_SECONDS = 150 * FACTOR
OTHERS = 20
WAITING = 5   # so many of the others are submitted before the faulty task
CASES = {}   # name: (function, what has to be seen)


def must(*seen):
    """Declares a case: what has to be seen is task/others/after/end, or any of several such.
    That is what procpool is held to, too."""
    def declare(function):
        CASES[function.__name__] = (function, seen)
        return function
    return declare


def say(key, value):
    print('%s=%s' % (key, value), flush=True)


def skip(why):
    say('skip', why)
    leave()


def leave():
    """Ends the program without what Python does at the end: what is left can be seen."""
    sys.stdout.flush()
    os._exit(0)


def place(name):
    """A file by which workers tell this program something, in whichever way they start."""
    return os.path.join(os.environ['FAULT_FOLDER'], name)


def at_fault():
    """Called in a task: now it goes wrong."""
    with open(place('fault'), 'w', encoding='ascii') as file:
        file.write(repr(time.monotonic()))


def say_answer():
    """Says how long ago the task went wrong."""
    try:
        with open(place('fault'), encoding='ascii') as file:
            say('answer_ms', '%.1f' % ((time.monotonic() - float(file.read())) * 1000))
    except (OSError, ValueError):
        pass   # it never ran


def in_words(error):
    lines = [line.strip(' "\'') for line in str(error).splitlines()]
    return (type(error).__name__ + ': ' + ([line for line in lines if line] or [''])[-1])[:90]


def outcome(pool, handle, seconds):
    """How a task ends in this time, and its value or the error in words."""
    try:
        return 'ok', pool.get(handle, max(seconds, 0.01))
    except BaseException as error:   # some libraries raise what is no Exception
        if type(error).__name__ == 'TimeoutError' and not pool.done(handle):
            return 'H', 'nothing comes'
        return 'E', in_words(error)


def outcome_of_long(pool, handle):
    """The same for a task that takes long: it hangs when nobody works for some time, or when
    a time has passed in which all others are done on a busy machine, too."""
    used, since = processes.cpu_seconds(), time.monotonic()
    limit = since + LONG_SECONDS
    while True:
        ends, why = outcome(pool, handle, 5)
        if ends != 'H':
            return ends, why
        now = processes.cpu_seconds()
        if now > used + 0.2 and time.monotonic() < limit:
            used, since = now, time.monotonic()
        elif time.monotonic() > min(limit, since + ANSWER_SECONDS):
            return ends, why


def asked(pool, function, *arguments, seconds=LATER_SECONDS):
    """How a new task ends."""
    try:
        handle = pool.submit(function, *arguments)
    except BaseException as error:
        return 'E', 'submitting raises ' + in_words(error)
    return outcome(pool, handle, seconds)


def limited(function, seconds):
    """How a call ends, which may never return."""
    ends = []

    def call():
        try:
            function()
            ends.append('ok')
        except BaseException:
            ends.append('E')

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return ends[0] if ends else 'H'


def worst(ends):
    return max(ends, key=['-', 'ok', 'E', 'H'].index, default='-')


def all_of(pool, handles, seconds):
    """The worst that any of the tasks ends with."""
    end = time.monotonic() + seconds
    return worst([outcome(pool, handle, end - time.monotonic())[0] for handle in handles])


def nap(i):
    time.sleep(0.05)
    return i


def same(i):
    return i


def end(pool):
    say('end', limited(pool.terminate, END_SECONDS))


def finish(pool):
    end(pool)
    leave()


def submit_all(pool, faulty, arguments, limit):
    """Submits a task that goes wrong amid others that do not: both handles, or how the
    submitting of the first fails."""
    handles, victim = [], None
    for i in range(OTHERS):
        if i == WAITING:
            try:
                victim = pool.submit(faulty, *arguments, limit=limit)
            except BaseException as error:
                victim = ('E', 'submitting raises ' + in_words(error))
        try:
            handles.append(pool.submit(nap, i))
        except BaseException:
            break   # the pool is broken: so are the others
    return victim, handles


def standard(pool, faulty, *arguments, limit=None, before_end=None):
    """A task goes wrong amid others; then the pool is used again and ended."""
    victim, handles = submit_all(pool, faulty, arguments, limit)
    complete = len(handles) == OTHERS
    if victim is None:
        victim = ('E', 'the pool is broken already')
    if not isinstance(victim, tuple):
        victim = outcome(pool, victim, ANSWER_SECONDS)
    if victim[0] == 'E':
        say_answer()
    say('task', victim[0])
    say('why', victim[1] if victim[0] != 'ok' else '')
    others = all_of(pool, handles, LATER_SECONDS)
    say('others', others if complete else worst([others, 'E']))
    say('after', asked(pool, same, 99)[0])
    if before_end:
        before_end()
    finish(pool)
