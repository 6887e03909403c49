"""Several processes, started by torchrun, that train one detector or run it on images.

In training each process has its shard of every batch and a copy of the weights. The number that a loss is divided by is
counted over all processes, and their gradients are summed, so that a step does what one process would do with the whole
batch. All processes perform the same steps, but only the main process (rank 0) writes files and prints.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, distributed

from detect.errors import RunError, UserError, first_line
from detect.system.rendezvous import store_of_this_start
from detect.types import MeanLoss

Value = TypeVar("Value")

_GLOO = re.compile(r".*/gloo/\S*\] ")  # the line of its source that an error of gloo begins with

# The main process may search proposals for hours while the others wait; torchrun and gloo report a lost process.
_GATHER_TIMEOUT = timedelta(hours=24)
# NCCL, which sums gradients, does not notice a lost process; no process waits long there for another one.
_NCCL_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of this run: ``rank`` of this one, from 0, and ``size``, how many there are. If size is 1, nothing
    is exchanged. objects: the group that ``gather`` exchanges objects in, None for the default one.

    All processes must call each method, except ``shard`` and ``interleave``, in the same order. Raises RunError if
    another process has ended.
    """

    rank: int = 0
    size: int = 1
    objects: distributed.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """True in the process that writes files and prints."""
        return self.rank == 0

    def shard(self, items: Sequence[Value]) -> Sequence[Value]:
        """Return every ``size``-th element, starting at the ``rank``-th. The shard of this process may be empty."""
        return items[self.rank :: self.size]

    def interleave(self, shards: Sequence[Sequence[Value]]) -> list[Value]:
        """Return the sequence of which ``shards`` are the shards of all processes: the inverse of ``shard``."""
        count = sum(map(len, shards))
        return [shards[index % len(shards)][index // len(shards)] for index in range(count)]

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, ordered by rank."""
        if self.size == 1:
            return [value]
        values: list[Value] = [value] * self.size
        with explain_lost_process(self.size):
            distributed.all_gather_object(values, value, group=self.objects)
        return values

    def sum_by_name(self, addends: Mapping[str, float]) -> dict[str, float]:
        """Return for each name the sum over all processes; a process that lacks the name adds nothing."""
        sums: dict[str, float] = {}
        for addends_of_process in self.gather(dict(addends)):
            for name, addend in addends_of_process.items():
                sums[name] = sums.get(name, 0) + addend
        return sums

    def global_mean_parts(self, means: Mapping[str, MeanLoss]) -> dict[str, Tensor]:
        """Turn means over this process's shard into its parts of the global means: the parts of all processes sum to
        them.
        """
        counts = self.sum_by_name({name: mean.count for name, mean in means.items()})
        return {name: mean.value * (mean.count / max(1, counts[name])) for name, mean in means.items()}

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Return for each flag whether it is set in any process."""
        if self.size == 1:
            return list(flags)
        counts = torch.tensor(flags, dtype=torch.int32)
        with explain_lost_process(self.size):
            distributed.all_reduce(counts, group=self.objects)
        return [count > 0 for count in counts.tolist()]

    def main_process_first(self, make: Callable[[], Value]) -> Value:
        """Call ``make`` in the main process, then in the others, which can read the files that it has written."""
        if self.is_main:
            output = make()
            self.gather(None)
            return output
        self.gather(None)
        return make()


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def init_process_group(device: Literal["auto", "cpu", "cuda"] = "auto") -> Iterator[ProcessGroup]:
    """Yield the process group that torchrun has started this process in, or a group of one without torchrun.

    device: the one that the processes compute on; each needs a GPU of its own unless it is cpu.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ProcessGroup()
        return
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    use_cuda = device != "cpu" and torch.cuda.is_available()
    if use_cuda:
        if local_rank >= torch.cuda.device_count():
            raise UserError(f"--nproc-per-node: expected at most one for each of {torch.cuda.device_count()} GPUs")
        torch.cuda.set_device(local_rank)
    with explain_lost_process(size):
        objects, store = None, store_of_this_start(rank, size, _GATHER_TIMEOUT)
        meeting: dict[str, Any] = {} if store is None else {"store": store, "rank": rank, "world_size": size}
        if use_cuda:
            distributed.init_process_group("cpu:gloo,cuda:nccl", timeout=_NCCL_TIMEOUT, **meeting)
            objects = cast(distributed.ProcessGroup, distributed.new_group(backend="gloo", timeout=_GATHER_TIMEOUT))
        else:
            distributed.init_process_group("gloo", timeout=_GATHER_TIMEOUT, **meeting)
    try:
        yield ProcessGroup(rank, size, objects)
    finally:
        distributed.destroy_process_group()


@contextmanager
def explain_lost_process(size: int, *, among_others: bool = False) -> Iterator[None]:
    """Raise RunError where torch raises a RuntimeError about sockets, because another process has ended.

    Errors of this process's own GPU are raised as they are. among_others: whether what is run does more than exchange,
    so that its other errors are raised as they are too.
    """
    try:
        yield
    except (torch.AcceleratorError, torch.OutOfMemoryError):
        raise
    except RuntimeError as error:
        if is_worker_death(error):  # the handler of SIGCHLD can raise in any line, also while waiting for the others
            raise
        if among_others and not (isinstance(error, distributed.DistError) or _GLOO.search(str(error))):
            raise
        reason = _GLOO.sub("", first_line(error)).partition(". This is typically")[0]
        raise RunError(f"expected {size} processes to the end, found one that is gone: {reason}") from error


def is_worker_death(error: RuntimeError) -> bool:
    """Return whether torch reports by this error that a data loader's worker process has ended."""
    return str(error).startswith("DataLoader worker (pid")
