# SPDX-License-Identifier: MIT
"""Puts Python's pools through the cases, several at a time: most of that is waiting."""
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import threading

import records
from runner import caged

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../peers/case')
AT_A_TIME = 6
SECONDS = 40   # what hangs in one way after the other needs 25
# Those that need much memory or both CPUs run alone, and may take longer.
ALONE = {'c03_kill_in_send': 40, 'c24_million': 120, 'c25_result_3gb': 400}


def pythons():
    """The interpreters that may have the libraries: first the system's."""
    found = ['/usr/bin/python3', shutil.which('python3'), sys.executable]
    return list(dict.fromkeys(path for path in found if path and os.path.exists(path)))


def ask(python, *arguments):
    """What case prints; None where it fails."""
    done = subprocess.run([python, PROGRAM, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def listing():
    """The names of the cases, and of the libraries in the order of their columns."""
    names = (ask(sys.executable, '--list') or '').split()
    cases = [name for name in names if name[0] == 'c' and name[1:3].isdigit()]
    return cases, [name for name in names if name not in cases]


def available(libraries):
    """{library: (interpreter, version)} of those that are there."""
    found = {}
    for library in libraries:
        for python in pythons():
            version = ask(python, library, '--version')
            if version:
                found[library] = (python, version)
                break
    return found


def one(python, library, case):
    seconds = ALONE.get(case, SECONDS) * float(os.environ.get('TEST_TIME_FACTOR', 1))
    with tempfile.TemporaryDirectory(prefix='faults-') as folder:
        os.chmod(folder, 0o777)   # some cases go on as another user
        run = caged([python, '-B', PROGRAM, library, case], seconds,
                    dict(os.environ, FAULT_FOLDER=folder))
    record = records.judge_peer(case, run)
    record['library'] = library
    return record


def run(found, cases, progress):
    """The records of all of these cases with all of these libraries."""
    done, lock = [], threading.Lock()
    jobs = [(case, library) for case in cases for library in found]
    together = [job for job in jobs if job[0] not in ALONE]

    def job(case, library):
        record = one(found[library][0], library, case)
        with lock:
            done.append(record)
            progress('%3d of %d  %-9s %-26s %-7s %s' % (
                len(done), len(jobs), library, case, record['word'], record['saw']))

    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(lambda pair: job(*pair), together))
    for pair in jobs:
        if pair not in together:
            job(*pair)
    return done
