"""A run over many shards: what a worker needs to know, and which shards are left to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from detect.errors import UserError
from detect.inference.shards.model import ShardModel
from detect.inference.shards.run_shard import ShardRunner
from detect.inference.shards.stores import OutputFolder, Retries


@dataclass(frozen=True)
class WorkerNumber:
    """Which worker loads a detector. index: from 0; on_this_machine: the number of workers that share its cores."""

    index: int = 0
    on_this_machine: int = 1


@dataclass(frozen=True)
class Job:
    """What every worker of a run does; it is sent to other processes, so ``load`` is one that pickle knows by its
    name.

    load: loads the detector; out: the address of the folder of the parts; num_threads: that read photos in each worker.
    """

    load: Callable[[WorkerNumber], ShardModel]
    out: str
    retries: Retries
    num_threads: int

    def folder(self) -> OutputFolder:
        """Return the folder of the parts."""
        return OutputFolder(self.out, self.retries)

    def runner(self, worker: WorkerNumber) -> ShardRunner:
        """Load the detector in a worker, and open the manifest."""
        return ShardRunner(self.load(worker), self.folder(), self.retries, self.num_threads)


def shards_of_job(shards: Sequence[int], share: str | None) -> list[int]:
    """Return the shards of ``--shard I/N``: every N-th from I, which counts from 0; all for None. Raises UserError."""
    if share is None:
        return list(shards)
    index, _, count = share.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise UserError(f"--shard: expected I/N with I from 0 to N - 1, as 0/16, found {share}")
    return [number for number in shards if number % int(count) == int(index)]
