#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Python's concurrent.futures.ProcessPoolExecutor as a peer of the benchmark, by fork."""
import concurrent.futures
import multiprocessing
import sys

sys.dont_write_bytecode = True
import python_peer  # noqa: E402


class Executor(python_peer.Peer):
    DEFAULT_MAP = 10000   # its default is one item per task
    LACKS = ('map_chunk1',)
    TIMEOUT = concurrent.futures.TimeoutError

    def __init__(self, workers=python_peer.WORKERS):
        self.executor = concurrent.futures.ProcessPoolExecutor(
            workers, multiprocessing.get_context('fork'))

    def call(self, function, x):
        return self.executor.submit(function, x).result()

    def submit(self, function, x):
        return self.executor.submit(function, x)

    def get(self, result, timeout=None):
        return result.result(timeout)

    def map(self, items, _):
        return list(self.executor.map(python_peer.square, items))

    def ordered(self, items):
        return self.executor.map(python_peer.square, items)

    def unordered(self, items):
        futures = [self.executor.submit(python_peer.square, i) for i in items]
        return (done.result() for done in concurrent.futures.as_completed(futures))

    def stop(self):
        self.executor.shutdown()


if __name__ == '__main__':
    python_peer.main(Executor)
