"""Workers that are processes of this machine, one for each GPU, or several that share its cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from detect.errors import RunError, UserError, first_line
from detect.inference.shards.job import Job, WorkerNumber
from detect.inference.shards.schedule import Outcome, run_shard

_SECONDS_TO_END = 10.0  # of a process whose pipe is closed


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    connection: Connection


class LocalWorkers:
    """Processes of this machine; each loads the detector once. They end when this process does."""

    def __init__(self, job: Job, num_workers: int) -> None:
        self._job = job
        self._num_workers = num_workers
        self._context = multiprocessing.get_context("spawn")  # a fork would inherit CUDA, threads and pipes
        self._workers: dict[int, _Worker] = {}
        self._numbers: dict[int, int] = {}

    def start(self, worker: int) -> None:
        """Start a process."""
        ours, theirs = self._context.Pipe()
        number = WorkerNumber(worker, self._num_workers)
        process = self._context.Process(target=_serve, args=(theirs, self._job, number))
        process.start()
        theirs.close()
        self._workers[worker] = _Worker(process, ours)

    def submit(self, worker: int, number: int) -> None:
        """Send the number of a shard; a process that is gone is told by ``wait``."""
        self._numbers[worker] = number
        try:
            self._workers[worker].connection.send(number)
        except OSError:
            return

    def wait(self) -> Iterable[tuple[int, Outcome]]:
        """Return the workers that sent an outcome or died. Raises the UserError that ended one."""
        connections = {self._workers[worker].connection: worker for worker in self._numbers}
        ended = []
        for connection in wait(list(connections)):
            worker = connections[connection]  # type: ignore[index]
            number = self._numbers.pop(worker)
            try:
                message = self._workers[worker].connection.recv()
            except (EOFError, OSError):
                message = Outcome(number, death=_how_it_ended(self._workers[worker].process))
            if isinstance(message, UserError):
                raise message
            ended.append((worker, message))
        return ended

    def close(self) -> None:
        """End the processes; what they are doing is not needed any more."""
        for worker in self._workers.values():
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


def _serve(connection: Connection, job: Job, worker: WorkerNumber) -> None:
    """Run shards by their numbers until the other process is gone, or this one cannot go on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C, which the parent handles
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        runner = job.runner(worker)
    except UserError as error:
        connection.send(error)
        return
    except Exception as error:  # of a library, the same for every worker
        connection.send(RunError(f"the detector cannot be loaded: {type(error).__name__}: {first_line(error)}"))
        return
    while True:
        number = connection.recv()
        try:
            outcome = run_shard(runner, number)
        except UserError as error:
            connection.send(error)
            return
        connection.send(outcome)
        if outcome.death is not None:
            return


def _how_it_ended(process: SpawnProcess) -> str:
    """Return the exit code of a process whose pipe is closed, or the signal that ended it: SIGKILL if out of memory."""
    process.join(_SECONDS_TO_END)
    code = process.exitcode
    if code is None:
        return "its pipe is closed, and it runs on"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    return f"{name}, as when memory is short" if name == "SIGKILL" else name


def _end_with_parent() -> None:
    """End this process when its parent has ended, in the middle of a shard: a part is whole or not there."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
