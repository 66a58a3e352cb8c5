# SPDX-License-Identifier: MIT
"""What bench/run and bench/grow share: programs that measure, on a machine that is quiet."""
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time

SAMPLE_LIMIT_S = 120   # one run of one program may take this long
QUIET_BEFORE = 0.12    # CPUs that others may use just before a sample ...
QUIET_DURING = 0.15    # ... and during it
TICK_S = 0.03          # what /proc/stat may be wrong by, in a short sample
MAX_TRIES = 3          # for one disturbed sample
PATIENCE_S = 300       # for all waiting and repeating together
PR_SET_CHILD_SUBREAPER = 36


class Failure(Exception):
    pass


# ---- What others do with the machine


def busy_s():
    """CPU time that all processes, and the host, have used since boot."""
    with open('/proc/stat') as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf('SC_CLK_TCK')


def own_s():
    """CPU time of this program and of all that it has started and that has ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def reap_orphans():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class Meter:
    """CPUs in use by other processes since it was made."""

    def __init__(self):
        self.begin_s, self.busy_s, self.own_s = time.monotonic(), busy_s(), own_s()

    def read(self):
        reap_orphans()
        self.elapsed_s = time.monotonic() - self.begin_s
        foreign_s = busy_s() - self.busy_s - (own_s() - self.own_s)
        self.cpus = max(0.0, foreign_s) / self.elapsed_s
        self.quiet = self.cpus < QUIET_DURING or foreign_s < TICK_S
        return self.cpus


class Watch:
    """Waits for quiet and repeats what was disturbed, until its patience ends."""

    def __init__(self):
        self.patience_s = PATIENCE_S
        self.quiet_until_s = 0   # nobody has disturbed what ended then

    def measure(self, function):
        """(what the function returned, how the machine was meanwhile), of several tries
        the first quiet one or the least disturbed."""
        tries = []
        while len(tries) < MAX_TRIES:
            tries.append(self.one_try(function))
            if tries[-1][1]['quiet'] or self.patience_s <= 0:
                break
            self.patience_s -= tries[-1][1]['seconds']
        value, note = min(tries, key=lambda one: (not one[1]['quiet'], one[1]['foreign_cpus']))
        return value, dict(note, tries=len(tries))

    def one_try(self, function):
        before = self.wait_for_quiet()
        meter = Meter()
        value = function()
        cpus = meter.read()
        self.quiet_until_s = time.monotonic() if meter.quiet else 0
        return value, {'foreign_cpus_before': round(before, 3), 'foreign_cpus': round(cpus, 3),
                       'load_average': os.getloadavg()[0], 'quiet': meter.quiet,
                       'seconds': round(meter.elapsed_s, 3)}

    def wait_for_quiet(self):
        """What others use just before a sample: nothing if the last one has just ended so."""
        if time.monotonic() - self.quiet_until_s < 0.05:
            return 0
        while True:
            meter = Meter()
            time.sleep(0.2)
            if meter.read() < QUIET_BEFORE or self.patience_s <= 0:
                return meter.cpus
            self.patience_s -= meter.elapsed_s


# ---- Programs


def call(name, command):
    """What a program writes to its standard output."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    try:
        out, err = process.communicate(timeout=SAMPLE_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Failure('%s: over %d s' % (name, SAMPLE_LIMIT_S)) from None
    finally:
        if process.poll() is None:   # also after Ctrl-C
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        lines = err.strip().splitlines() or ['no message']
        raise Failure('%s: status %d: %s' % (name, process.returncode, lines[-1]))
    return out


def prepare(build):
    """Builds; from here on signals end the programs, too, and orphans count as own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    subprocess.run(['ninja', '-C', build, 'benchmarks'], check=True, stdout=sys.stderr)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Progress:
    """On a terminal one line that changes, otherwise a line where something begins."""

    def __init__(self):
        self.begin_s = time.monotonic()

    def show(self, text, done, first):
        elapsed_s = time.monotonic() - self.begin_s
        if done > 0.05:
            text += ', about %.0f s left' % (elapsed_s / done - elapsed_s)
        if sys.stderr.isatty():
            print('\r\033[K' + text, end='', file=sys.stderr, flush=True)
        elif first:
            print(text, file=sys.stderr, flush=True)

    def end(self):
        text = 'done in %.0f s' % (time.monotonic() - self.begin_s)
        print(('\r\033[K' if sys.stderr.isatty() else '') + text, file=sys.stderr, flush=True)


# ---- What was measured on what


def machine():
    with open('/proc/cpuinfo') as info:
        models = [line.split(':')[1].strip() for line in info if line.startswith('model name')]
    return {'kernel': os.uname().release,
            'processor': models[0] if models else os.uname().machine,
            'cpus': len(os.sched_getaffinity(0)), 'python': sys.version.split()[0],
            'date': time.strftime('%Y-%m-%dT%H:%M:%S%z')}


def build_options(build):
    with open(os.path.join(build, 'meson-info', 'intro-buildoptions.json')) as file:
        options = {option['name']: option['value'] for option in json.load(file)}
    return {name: options.get(name) for name in ('buildtype', 'optimization', 'b_sanitize')}


def write_json(build, name, content):
    path = os.path.join(build, 'bench', name)
    with open(path, 'w') as file:
        json.dump(dict(machine=machine(), build=build_options(build), **content), file,
                  indent=1)
    return path
