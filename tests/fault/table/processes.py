# SPDX-License-Identifier: MIT
"""The processes below this one, and how to end them."""
import ctypes
import os
import signal
import time

SET_CHILD_SUBREAPER = 36
# What Python's own libraries leave running for a while on purpose: no worker.
HELPERS = ('resource_tracker', 'semaphore_tracker', 'forkserver')


def adopt_orphans():
    """Processes below this one whose parent ends become its children, not those of init."""
    ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def parents():
    """{pid: (parent, state)} of all processes that can be seen."""
    found = {}
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % name, encoding='latin-1') as stat:
                fields = stat.read().rsplit(')', 1)[1].split()
        except OSError:
            continue   # it has ended meanwhile
        found[int(name)] = (int(fields[1]), fields[0])
    return found


def descendants():
    """{pid: state} of what is below this process, zombies with state Z."""
    seen, below, found = parents(), {os.getpid()}, {}
    grown = True
    while grown:
        new = {pid: state for pid, (parent, state) in seen.items()
               if parent in below and pid not in below}
        grown = bool(new)
        below.update(new)
        found.update(new)
    return found


def command(pid):
    """The words that a process was started with; '' when it has ended."""
    try:
        with open('/proc/%d/cmdline' % pid, encoding='latin-1') as line:
            return line.read().replace('\0', ' ').strip()
    except OSError:
        return ''


def is_helper(pid):
    return any(helper in command(pid) for helper in HELPERS)


def cpu_seconds():
    """What this process and those below it have used."""
    ticks = 0
    for pid in [os.getpid(), *descendants()]:
        try:
            with open('/proc/%d/stat' % pid, encoding='latin-1') as stat:
                fields = stat.read().rsplit(')', 1)[1].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf('SC_CLK_TCK')


def reap():
    """Waits for the children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def alive():
    """The commands of the workers and the like that run below this process."""
    reap()
    return [command(pid) or 'process %d' % pid for pid, state in descendants().items()
            if state != 'Z' and not is_helper(pid)]


def left_after(seconds):
    """Those alive when so much time has passed; waits no longer than there are any."""
    end = time.monotonic() + seconds
    while alive() and time.monotonic() < end:
        time.sleep(0.01)
    return alive()


def end_all(seconds=10):
    """Kills all that is below this process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for pid in descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap()
        if not descendants():
            return
        time.sleep(0.01)
