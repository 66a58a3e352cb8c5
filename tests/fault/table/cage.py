# SPDX-License-Identifier: MIT
"""Runs a program that may hang, die or leave processes behind, and ends all of it.

usage: cage.py SECONDS PROGRAM [ARGUMENT...]

The program gets a session of its own and, where that is allowed, a /dev/shm of its own.
What it leaves becomes a child of this process, is named, and is killed.  Prints one
object of JSON: see run().
"""
import ctypes
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import processes  # noqa: E402

NEW_MOUNTS, RECURSIVE, PRIVATE = 0x20000, 0x4000, 0x40000
SETTLE_SECONDS = 3   # in which what was told to end has to be gone
SHM = '/dev/shm'


def own_shared_memory():
    """Whether this process has got a /dev/shm that no other sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    return (libc.unshare(NEW_MOUNTS) == 0
            and libc.mount(b'none', b'/', None, RECURSIVE | PRIVATE, None) == 0
            and libc.mount(b'tmpfs', SHM.encode(), b'tmpfs', 0, b'mode=1777') == 0)


def wait(program, seconds):
    """Whether the program has ended by itself in this time; it has ended in any case."""
    try:
        program.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
        return False


def text(file):
    file.seek(0)
    return file.read().decode(errors='replace')


def run(seconds, command):
    """Returns what the program printed, its exit status (or -SIGNAL), whether it had to be
    ended, the processes and the files in /dev/shm that it left."""
    processes.adopt_orphans()
    private = own_shared_memory()
    # Files, not pipes: what is left behind may hold them open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                   start_new_session=True)
        ended = wait(program, seconds)
        left = processes.left_after(SETTLE_SECONDS)
        return {'status': program.returncode, 'hung': not ended, 'left': left,
                'files': sorted(os.listdir(SHM)) if private else [],
                'out': text(out), 'err': text(err)}


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        print(json.dumps(run(float(sys.argv[1]), sys.argv[2:])))
    finally:
        processes.end_all()


if __name__ == '__main__':
    main()
