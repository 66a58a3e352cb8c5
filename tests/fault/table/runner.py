# SPDX-License-Identifier: MIT
"""Builds and runs the cases of ours, one after the other."""
import json
import os
import re
import subprocess
import sys

import records
import table

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, '../../..'))
CAGE = os.path.join(HERE, 'cage.py')
ENOUGH_MEMORY = 12 << 30   # for results of 3 GiB, which are in the client twice
SHORT_RUNS = re.compile(r' \([^()]* in short runs\)')   # in titles


def caged(command, seconds, environment=None):
    """How a program ended and what it left: see cage.py."""
    done = subprocess.run([sys.executable, '-B', CAGE, str(seconds), *command],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=environment, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {'status': 127, 'hung': False, 'left': [], 'files': [], 'out': '',
                'err': done.stderr}


class Case:
    """A program of ours."""

    def __init__(self, name, command, seconds, environment=None):
        self.name, self.command, self.seconds = name, command, seconds
        self.environment = environment or {}

    def run(self, short):
        environment = dict(os.environ, **self.environment)
        if not short:
            environment['TEST_THOROUGH'] = '1'
        record = records.judge_ours(self.name, caged(self.command, self.seconds, environment))
        if not short:
            record['title'] = SHORT_RUNS.sub('', record['title'])
        return record


def has_memory():
    return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >= ENOUGH_MEMORY


def introspect(build, what):
    done = subprocess.run(['meson', 'introspect', what, build], capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout)


def cases_of(build, seconds):
    """The tests of the suite `cases`."""
    return [Case(test['name'], test['cmd'], seconds, test.get('env'))
            for test in introspect(build, '--tests')
            if 'cases' in [suite.split(':')[-1] for suite in test['suite']]]


def built(build, seconds):
    """The cases, built for speed in this folder."""
    subprocess.run([os.path.join(ROOT, 'scripts/build'), build, '--buildtype=release',
                    '-Dtests=enabled', '-Dbench=disabled', '-Dexamples=disabled'],
                   env=dict(os.environ, TARGETS='cases'), check=True)
    return cases_of(build, seconds)


def in_folder(folder, seconds):
    """The programs of a folder, as they are."""
    return [Case(name, [os.path.join(folder, name)], seconds)
            for name in sorted(os.listdir(folder))]


def run(cases, short, progress):
    """The records of all of these."""
    done = []
    for case in cases:
        record = case.run(short)
        done.append(record)
        progress('%3d of %d  %-26s %-6s %s' % (len(done), len(cases), record['case'],
                                              record['verdict'], record['saw']))
    return table.in_order(done)
