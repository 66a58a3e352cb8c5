#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Python's multiprocessing.Pool as a peer of the benchmark, start method fork."""
import multiprocessing
import sys

sys.dont_write_bytecode = True
import python_peer  # noqa: E402


class Pool(python_peer.Peer):
    DEFAULT_MAP = 1000000
    LACKS = ()
    TIMEOUT = multiprocessing.TimeoutError

    def __init__(self, workers=python_peer.WORKERS):
        self.pool = multiprocessing.get_context('fork').Pool(workers)

    def call(self, function, x):
        return self.pool.apply(function, (x,))

    def submit(self, function, x):
        return self.pool.apply_async(function, (x,))

    def get(self, result, timeout=None):
        return result.get(timeout)

    def map(self, items, chunksize):
        return self.pool.map(python_peer.square, items, chunksize)

    def ordered(self, items):
        return self.pool.imap(python_peer.square, items)

    def unordered(self, items):
        return self.pool.imap_unordered(python_peer.square, items)

    def stop(self):
        self.pool.close()
        self.pool.join()


if __name__ == '__main__':
    python_peer.main(Pool)
