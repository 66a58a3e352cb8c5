# SPDX-License-Identifier: MIT
"""Five process pools of Python's behind one interface, so that a case is written once."""
import importlib.metadata
import platform
import signal


class Pool:
    """A pool of `workers`; each kind says how it is made, asked and ended.

    submit() returns a handle, get() the value or raises; a handle that is done() has
    either.  `limit` is a time limit for the task where the library has that.
    """

    package = None   # the name by which its version is known; None: a part of Python

    def submit(self, function, *args, callback=None, limit=None):
        raise NotImplementedError

    def get(self, handle, timeout):
        return handle.result(timeout)

    def done(self, handle):
        return handle.done()

    def pids(self):
        """The workers' process ids."""
        return list(self.pool._processes or {})

    def map(self, function, items):
        return list(self.pool.map(function, items))

    def close(self):
        """Takes no more tasks, and waits for those there are."""
        self.pool.shutdown(wait=True)

    def terminate(self):
        """Ends the workers at once, as far as the library can."""
        raise NotImplementedError


class Multiprocessing(Pool):
    def __init__(self, workers, init=None, initargs=()):
        import multiprocessing
        self.pool = multiprocessing.Pool(workers, init, initargs)

    def submit(self, function, *args, callback=None, limit=None):
        return self.pool.apply_async(function, args, callback=callback)

    def get(self, handle, timeout):
        return handle.get(timeout)

    def done(self, handle):
        return handle.ready()

    def pids(self):
        return [worker.pid for worker in self.pool._pool]

    def map(self, function, items):
        return self.pool.map(function, items, 1)

    def close(self):
        self.pool.close()
        self.pool.join()

    def terminate(self):
        self.pool.terminate()
        self.pool.join()


class Billiard(Multiprocessing):
    package = 'billiard'

    def __init__(self, workers, init=None, initargs=()):
        import billiard
        # Limits of tasks count in pools only that have one of their own.
        self.pool = billiard.Pool(workers, init, initargs, timeout=600)

    def submit(self, function, *args, callback=None, limit=None):
        return self.pool.apply_async(function, args, callback=callback, timeout=limit)


class Futures(Pool):
    def __init__(self, workers, init=None, initargs=()):
        from concurrent.futures import ProcessPoolExecutor
        self.pool = ProcessPoolExecutor(workers, initializer=init, initargs=initargs)

    def submit(self, function, *args, callback=None, limit=None):
        return called_back(self.pool.submit(function, *args), callback)

    def terminate(self):
        self.pool.shutdown(wait=True, cancel_futures=True)   # it has no way to kill


class Loky(Futures):
    package = 'joblib'

    def __init__(self, workers, init=None, initargs=()):
        from joblib.externals.loky import ProcessPoolExecutor
        self.pool = ProcessPoolExecutor(workers, initializer=init, initargs=initargs)

    def terminate(self):
        self.pool.shutdown(wait=True, kill_workers=True)


class Pebble(Pool):
    package = 'pebble'

    def __init__(self, workers, init=None, initargs=()):
        from pebble import ProcessPool
        self.pool = ProcessPool(max_workers=workers, initializer=init, initargs=initargs)

    def submit(self, function, *args, callback=None, limit=None):
        return called_back(self.pool.schedule(function, args=args, timeout=limit), callback)

    def pids(self):
        return [w.pid for w in self.pool._pool_manager.worker_manager.workers.values()]

    def map(self, function, items):
        return list(self.pool.map(function, items).result())

    def close(self):
        self.pool.close()
        self.pool.join()

    def terminate(self):
        self.pool.stop()
        self.pool.join()


# In the order of the table's columns.
POOLS = {'mp.Pool': Multiprocessing, 'futures': Futures, 'billiard': Billiard,
         'pebble': Pebble, 'loky': Loky}


def called_back(future, callback):
    if callback:
        future.add_done_callback(callback)
    return future


def version(name):
    """Which version of a library runs here; raises where it is not there."""
    package = POOLS[name].package
    python = 'Python ' + platform.python_version()
    if not package:
        return python
    made = package + ' ' + importlib.metadata.version(package)
    if name == 'loky':
        from joblib.externals import loky
        made = 'loky %s of %s' % (loky.__version__, made)
    __import__(package)
    return made + ', ' + python


def reset_signals():
    """What whoever started this program ignored is not what a library is judged by."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
