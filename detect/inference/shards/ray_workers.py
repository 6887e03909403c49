"""Workers that are actors of Ray, on all machines of its cluster. Ray schedules them; the parts are written as ever.

Ray's own data sets are not used: an actor takes a part of the logical CPUs and never all of them, and a restart is that
of the parts: list, subtract, go on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from detect.errors import RunError, UserError, first_line
from detect.inference.shards.job import Job, WorkerNumber
from detect.inference.shards.schedule import Outcome, run_shard
from detect.system.packages import import_package


class RayWorkers:
    """Actors, each with the detector; with a GPU each where the cluster has some."""

    def __init__(self, job: Job, num_workers: int | None) -> None:
        """Connect to the cluster of RAY_ADDRESS, or start Ray on this machine; num_workers: None for one a GPU."""
        self._ray = ray = import_package("ray", "--runner ray")
        self._started_here = not ray.is_initialized()
        if self._started_here and "RAY_ADDRESS" in os.environ:
            ray.init(log_to_driver=False)
        elif self._started_here:
            ray.init(address="local", include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
        resources = ray.cluster_resources()
        num_gpus, num_cpus = int(resources.get("GPU", 0)), float(resources.get("CPU", 1))
        self.num_workers = num_workers or max(1, num_gpus)
        gpu_share = min(1.0, num_gpus / self.num_workers)
        cpu_share = min(1.0, num_cpus / (self.num_workers + 1))  # one share stays free
        self._actor = ray.remote(num_cpus=cpu_share, num_gpus=gpu_share, max_restarts=0)(_Actor)
        self._job = job
        self._workers_a_node = -(-self.num_workers // len(ray.nodes()))
        self._actors: dict[int, Any] = {}
        self._running: dict[Any, tuple[int, int]] = {}

    def start(self, worker: int) -> None:
        """Start an actor; Ray chooses its machine."""
        self._actors[worker] = self._actor.remote(self._job, WorkerNumber(worker, self._workers_a_node))

    def submit(self, worker: int, number: int) -> None:
        """Call the actor with a shard."""
        self._running[self._actors[worker].run.remote(number)] = (worker, number)

    def wait(self) -> Iterable[tuple[int, Outcome]]:
        """Return the workers whose calls ended. Raises the UserError that ended one."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        ended = []
        for reference in ready:
            worker, number = self._running.pop(reference)
            try:
                outcome = self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                outcome = Outcome(number, death=first_line(error))
            if isinstance(outcome, UserError):
                raise outcome
            ended.append((worker, outcome))
        return ended

    def close(self) -> None:
        """End the actors, and Ray where it was started here."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        if self._started_here:
            self._ray.shutdown()


class _Actor:
    """A detector in a process of Ray."""

    def __init__(self, job: Job, worker: WorkerNumber) -> None:
        self._error: UserError | None = None
        try:
            self._runner = job.runner(worker)
        except UserError as error:  # an error of the constructor would look like a dead process
            self._error = error
        except Exception as error:
            self._error = RunError(f"the detector cannot be loaded: {type(error).__name__}: {first_line(error)}")

    def run(self, number: int) -> Outcome | UserError:
        """Return the outcome of a shard, or the error that ends the run."""
        if self._error is not None:
            return self._error
        try:
            return run_shard(self._runner, number)
        except UserError as error:
            return error
