"""The master process: starts workers, restarts those that die, passes signals on, and stops them all."""

import contextlib
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

import structlog

_LONGEST_PAUSE = 30.0
_SETTLED = 60.0  # a worker that lived this long starts without delay when it dies
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
ABANDONED = 70  # exit status of a worker whose master is gone


class WorkerPipes:
    """What a worker holds of its master: `ready` to say that it listens, `lifeline` to learn that the master died.

    `reload_wanted` tells of a SIGHUP that came while the worker was still starting.
    """

    def __init__(self, ready: int, lifeline: int) -> None:
        self._ready = ready
        self.lifeline = lifeline
        self.reload_wanted = False

    def remember_reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload_wanted = True

    def announce(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._ready, b"+")


class _Worker:
    """One place for a worker: the process that has it now, and how its predecessors fared."""

    def __init__(self, node: int) -> None:
        self.node = node
        self.pid = 0
        self.started = 0.0
        self.start_at = 0.0
        self.deaths = 0


class StartFailed(Exception):
    """A worker ended before all were listening; its own log says why."""


class Supervisor:
    """Runs `work(node, pipes)` in a process for each node until it is told to stop.

    It has one thread and no event loop, so that forking stays safe for as long as it lives. `on_reload` runs here at
    SIGHUP, before the workers are told, so that workers started later begin with what is current.
    """

    def __init__(
        self,
        work: Callable[[int, WorkerPipes], int],
        *,
        workers: int,
        shutdown_timeout: float,
        on_ready: Callable[[], None],
        on_reload: Callable[[], None],
    ) -> None:
        self._work = work
        self._workers = [_Worker(node) for node in range(workers)]
        self._shutdown_timeout = shutdown_timeout
        self._on_ready = on_ready
        self._on_reload = on_reload
        self._announced: int | None = 0
        self._stopping = False
        self._interrupted = False
        self._log = structlog.get_logger("acme_ra.supervisor")

    def run(self) -> int:
        """Returns 0 after a clean stop. Raises StartFailed."""
        self._ready_read, self._ready_write = os.pipe()
        self._lifeline_read, self._lifeline_write = os.pipe()
        wake_read, wake_write = os.pipe()
        for descriptor in (self._ready_read, wake_read, wake_write):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        try:
            return self._supervise(wake_read)
        finally:
            self._kill_rest()
            signal.set_wakeup_fd(-1)

    def _supervise(self, wake_read: int) -> int:
        with selectors.DefaultSelector() as selector:
            selector.register(self._ready_read, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while not self._stopping:
                self._start_due()
                for key, _ in selector.select(self._next_start()):
                    if key.fd == wake_read:
                        self._handle(os.read(wake_read, 256))
                    else:
                        self._count_ready(len(os.read(self._ready_read, 256)))
                self._reap()
            return self._stop()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The wake-up descriptor carries the number; a handler must exist for that."""

    def _handle(self, numbers: bytes) -> None:
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stopping = True
                self._interrupted = number == signal.SIGINT
            elif number == signal.SIGHUP:
                self._on_reload()
                self._send(signal.SIGHUP)

    def _count_ready(self, count: int) -> None:
        if self._announced is None:
            return
        self._announced += count
        if self._announced >= len(self._workers):
            self._announced = None
            self._on_ready()

    def _start_due(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if not worker.pid and now >= worker.start_at:
                self._fork(worker)

    def _fork(self, worker: _Worker) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal for the new process waits until the process has handlers of its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid:
            worker.pid, worker.started = pid, time.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            return
        status = 1
        try:
            pipes = WorkerPipes(self._ready_write, self._lifeline_read)
            self._become_worker(pipes)
            status = self._work(worker.node, pipes)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _become_worker(self, pipes: WorkerPipes) -> None:
        """Undo what is the master's: signal handlers, and the write end whose closing tells that the master died."""
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        # Ctrl-C reaches the whole foreground group; the master alone answers it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, pipes.remember_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(self._lifeline_write)

    def _next_start(self) -> float | None:
        pauses = [worker.start_at - time.monotonic() for worker in self._workers if not worker.pid]
        return max(0.0, min(pauses)) if pauses else None

    def _reap(self) -> None:
        for worker in self._workers:
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._bury(worker, os.waitstatus_to_exitcode(status))

    def _bury(self, worker: _Worker, code: int) -> None:
        pid, worker.pid = worker.pid, 0
        if self._stopping:
            return
        if self._announced is not None:
            raise StartFailed(f"worker {worker.node} ended with {code} while starting; its reason is in the log above")
        lived = time.monotonic() - worker.started
        worker.deaths = 1 if lived > _SETTLED else worker.deaths + 1
        pause = min(_LONGEST_PAUSE, 0.1 * 2**worker.deaths) if worker.deaths > 1 else 0.0
        worker.start_at = time.monotonic() + pause
        self._log.error("worker ended; starting another", worker=worker.node, pid=pid, code=code, pause=round(pause, 1))

    def _send(self, number: int) -> None:
        for worker in self._workers:
            if worker.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, number)

    def _stop(self) -> int:
        if self._interrupted:
            sys.stderr.write("\nStopping; requests under way are finished first.\n")
        self._send(signal.SIGTERM)
        deadline = time.monotonic() + self._shutdown_timeout + 2
        while any(worker.pid for worker in self._workers):
            self._reap()
            if time.monotonic() > deadline:
                self._log.error("a worker did not stop in time and is killed")
                return 1
            time.sleep(0.02)
        return 0

    def _kill_rest(self) -> None:
        """Leave no worker behind, whatever ended the master."""
        self._send(signal.SIGKILL)
        for worker in self._workers:
            if worker.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(worker.pid, 0)
                worker.pid = 0
