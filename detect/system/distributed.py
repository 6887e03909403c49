"""Several processes that train one detector, or look at images with it, started by torchrun.

In training each has its share of every batch and a copy of the weights. What a loss is divided by is counted over all
of them and their gradients are summed, so that a step does what one process would do with the whole batch. All steps of
all processes are the same but for the leader's: it alone writes and prints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from detect.errors import UserError, WorkError
from detect.types import Mean

Value = TypeVar("Value")

# The leader may search proposals for hours while the others wait; of a process that is gone torchrun and gloo tell.
_PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class Group:
    """rank: which of the processes this one is, from 0; size: how many there are. Alone, nothing is exchanged.

    Every method but ``share`` must be called by all processes in the same order. Raises WorkError where one is gone.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def share(self, items: Sequence[Value]) -> Sequence[Value]:
        """This process's part: every ``size``-th from the ``rank``-th on; it may be empty."""
        return items[self.rank :: self.size]

    def dealt_back(self, shares: Sequence[Sequence[Value]]) -> list[Value]:
        """The inverse of ``share``, from the parts of all."""
        count = sum(map(len, shares))
        return [shares[place % len(shares)][place // len(shares)] for place in range(count)]

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, by rank."""
        if self.size == 1:
            return [value]
        found: list[Value] = [value] * self.size
        with _told_when_one_is_gone(self.size):
            distributed.all_gather_object(found, value)
        return found

    def total(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """By name the sums over all processes; one that lacks a name adds nothing to it."""
        sums: dict[str, float] = {}
        for own in self.gather(dict(numbers)):
            for name, number in own.items():
                sums[name] = sums.get(name, 0) + number
        return sums

    def parts(self, means: Mapping[str, Mean]) -> dict[str, Tensor]:
        """Of means over this process's share its parts of the means over all: those of all processes add up to them."""
        counts = self.total({name: mean.over for name, mean in means.items()})
        return {name: mean.value * (mean.over / max(1, counts[name])) for name, mean in means.items()}

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Each gradient becomes the sum of all processes'; none stays none where no process has one."""
        if self.size == 1:
            return
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        present = self.gather([parameter.grad is not None for parameter in learning])
        chosen = [parameter for parameter, *has in zip(learning, *present, strict=True) if any(has)]
        if not chosen:
            return
        for parameter in chosen:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in chosen if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        with _told_when_one_is_gone(self.size):
            distributed.all_reduce(together)
        start = 0
        for gradient in gradients:
            gradient.copy_(together[start : start + gradient.numel()].view(gradient.shape))
            start += gradient.numel()

    def leader_first(self, make: Callable[[], Value]) -> Value:
        """What ``make`` gives, made by the leader before the others: what it writes they find."""
        if self.leads:
            made = make()
            self.gather(None)
            return made
        self.gather(None)
        return make()


ALONE = Group()


@contextmanager
def joined() -> Iterator[Group]:
    """The group that torchrun has started this process in; one of its own without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise UserError(f"--nproc-per-node: expected at most one for each of {torch.cuda.device_count()} GPUs")
        torch.cuda.set_device(local)
    with _told_when_one_is_gone(size):
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield Group(rank, size)
    finally:
        distributed.destroy_process_group()


@contextmanager
def _told_when_one_is_gone(size: int) -> Iterator[None]:
    """torch says so in a RuntimeError about sockets."""
    try:
        yield
    except RuntimeError as error:
        if tells_of_a_worker(error):  # SIGCHLD's handler raises in any line, so in the wait for the others too
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WorkError(f"expected {size} processes to the end, found one that is gone: {reason}") from error


def tells_of_a_worker(error: RuntimeError) -> bool:
    """Whether torch says by it that a process that reads images has ended."""
    return str(error).startswith("DataLoader worker (pid")
