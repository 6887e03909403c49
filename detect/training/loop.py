"""Training, straight down: load, forward, backward, step, log, validate, save.

A step is one update of the weights and sees ``accumulate`` batches. Whatever a step draws at random is keyed by its
number, so a run that was cut off and resumed does the same as one that was not.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
from torch import Tensor, nn

from detect import randomness
from detect.data.batch import Batch
from detect.errors import WorkError
from detect.evaluation.detecting import targets_to, to_device
from detect.precision import Compute
from detect.training.optimizer import Schedule, set_rate
from detect.training.state import Learner


class Interrupted(WorkError):  # noqa: N818 - named for what happened
    """Ctrl-C or SIGTERM; everything up to the last full step is saved."""

    status = 130


class NonFiniteLoss(WorkError):  # noqa: N818
    """The loss is no number any more; the weights are those before the step."""


@dataclass(frozen=True)
class LoopRule:
    """Lengths, in steps unless said otherwise."""

    seed: int
    steps: int
    accumulate: int
    clip: float
    log_every: int
    checkpoint_every: int
    validate_at: frozenset[int]  # after how many steps


@dataclass(frozen=True)
class Callbacks:
    """What the loop leaves to others.

    log(row) after ``log_every`` steps; validate() returns whether to stop early; save() writes last.pt;
    shown(batch) sees every batch before it is used.
    """

    log: Callable[[Mapping[str, float | int]], None]
    validate: Callable[[], bool]
    save: Callable[[], None]
    shown: Callable[[int, Batch], None]
    unreadable: Callable[[Sequence[str]], None]


def train_loop(
    learner: Learner, batches: Iterator[Batch], schedule: Schedule, rule: LoopRule, compute: Compute, do: Callbacks
) -> None:
    """From ``learner.progress.step`` to ``rule.steps``, or to an early stop.

    Raises NonFiniteLoss naming the photos of the batch, and Interrupted after saving; the learner is then as it was
    after the last full step.
    """
    progress = learner.progress
    data_seconds = step_seconds = 0.0
    with _interruption() as interrupted:
        while progress.step < rule.steps:
            learner.detector.train()
            torch.manual_seed(randomness.key(rule.seed, "step", progress.step))  # dropout
            rate = set_rate(learner.optimizer, schedule.factor(progress.step))
            learner.optimizer.zero_grad(set_to_none=True)
            started, waited = time.perf_counter(), 0.0
            for _ in range(rule.accumulate):
                asked = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - asked
                do.shown(progress.step, batch)
                do.unreadable(batch.unreadable)
                if len(batch.images):
                    losses = _backward(learner, batch, rule.accumulate, compute)
                    progress.add(losses)
            _update(learner, rule.clip)
            progress.step += 1
            data_seconds += waited
            step_seconds += time.perf_counter() - started - waited

            if progress.step % rule.log_every == 0 and progress.summed:
                spent = {"data_seconds": data_seconds / rule.log_every, "step_seconds": step_seconds / rule.log_every}
                means = progress.take_means()
                do.log({"step": progress.step, "lr": rate, "loss": sum(means.values()), **means, **spent})
                data_seconds = step_seconds = 0.0
            stop = progress.step in rule.validate_at and do.validate()
            at_end = stop or progress.step == rule.steps or interrupted()
            if at_end or progress.step in rule.validate_at or progress.step % rule.checkpoint_every == 0:
                do.save()
            if interrupted():
                raise Interrupted(f"interrupted after step {progress.step}")
            if stop:
                return


def _backward(learner: Learner, batch: Batch, accumulate: int, compute: Compute) -> dict[str, Tensor]:
    """Forward and backward of one batch; the losses, each still a tensor."""
    images = to_device(batch.images, compute.device)
    targets = targets_to(batch.targets, compute.device)
    with compute.autocast():
        losses: dict[str, Tensor] = learner.detector(images, targets)
    total = torch.stack(list(losses.values())).sum()
    if not torch.isfinite(total):
        learner.optimizer.zero_grad(set_to_none=True)
        named = ", ".join(f"{name} {float(loss.detach()):.4g}" for name, loss in losses.items())
        raise NonFiniteLoss(
            f"step {learner.progress.step + 1}: expected a finite loss, found {named}; photos: {', '.join(batch.files)}"
        )
    learner.scaler.scale(total / accumulate).backward()  # type: ignore[no-untyped-call]
    return losses


def _update(learner: Learner, clip: float) -> None:
    """One step of the optimiser and of the average."""
    if clip:
        learner.scaler.unscale_(learner.optimizer)
        nn.utils.clip_grad_norm_(learner.detector.parameters(), clip)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.average is not None:
        learner.average.update(learner.detector, learner.progress.step)


@contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Turns Ctrl-C and SIGTERM into a flag, so that the step under way ends; a second Ctrl-C ends at once."""
    seen = False

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal seen
        seen = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are not ours
        before = {}
    try:
        yield lambda: seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
