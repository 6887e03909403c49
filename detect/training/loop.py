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

from detect.data.loading.collate import Batch
from detect.errors import WorkError
from detect.ops.preprocess import on_canvas
from detect.system import randomness
from detect.system.device import Compute
from detect.system.distributed import ALONE, Group
from detect.training.optimizer import Schedule, set_rate
from detect.training.state import Learner
from detect.types import Images, Mean, Size, targets_to, to_device


class Interrupted(WorkError):  # noqa: N818 - named for what happened
    """Ctrl-C or SIGTERM; everything up to the last full step is saved."""

    status = 130


class NonFiniteStep(WorkError):  # noqa: N818
    """A loss or a gradient is no number any more; the weights are those before the step."""


class _NotFinite(Exception):  # noqa: N818
    """What is not, told."""


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
    shown(batch) sees every batch before it is used; failed(batches) is told those of a step whose numbers are not
    finite, and answers what to say of them.
    """

    log: Callable[[Mapping[str, float | int]], None]
    validate: Callable[[], bool]
    save: Callable[[], None]
    shown: Callable[[int, Batch], None]
    unreadable: Callable[[Sequence[str]], None]
    failed: Callable[[Sequence[Batch]], str]


def train_loop(
    learner: Learner,
    batches: Iterator[Batch],
    schedule: Schedule,
    rule: LoopRule,
    compute: Compute,
    do: Callbacks,
    group: Group = ALONE,
) -> None:
    """From ``learner.progress.step`` to ``rule.steps``, or to an early stop; ``batches`` are this process's shares.

    Raises NonFiniteStep naming the images, and Interrupted after saving; the learner is then as it was after the last
    full step.
    """
    progress = learner.progress
    data_seconds = step_seconds = 0.0
    with _interruption() as interrupted:
        while progress.step < rule.steps:
            learner.detector.train()
            torch.manual_seed(step_seed(rule.seed, progress.step) + group.rank)
            rate = set_rate(learner.optimizer, schedule.factor(progress.step))
            started = time.perf_counter()
            waited = _step(learner, batches, rule, compute, do, group)
            progress.step += 1
            data_seconds += waited
            step_seconds += time.perf_counter() - started - waited

            if progress.step % rule.log_every == 0 and progress.summed:
                spent = {"data_seconds": data_seconds / rule.log_every, "step_seconds": step_seconds / rule.log_every}
                means = group.total(progress.take_means())
                do.log({"step": progress.step, "lr": rate, "loss": sum(means.values()), **means, **spent})
                data_seconds = step_seconds = 0.0
            stop = progress.step in rule.validate_at and do.validate()
            cut = any(group.gather(interrupted()))
            at_end = stop or progress.step == rule.steps or cut
            if at_end or progress.step in rule.validate_at or progress.step % rule.checkpoint_every == 0:
                do.save()
            if cut:
                raise Interrupted(f"interrupted after step {progress.step}")
            if stop:
                return


def _step(
    learner: Learner, batches: Iterator[Batch], rule: LoopRule, compute: Compute, do: Callbacks, group: Group
) -> float:
    """One change of the weights, by as many batches as are accumulated; seconds that it waited for them.

    Raises NonFiniteStep, with the learner as it was before.
    """
    waited = 0.0
    seen: list[Batch] = []
    statistics = learner.statistics()
    learner.optimizer.zero_grad(set_to_none=True)
    try:
        for _ in range(rule.accumulate):
            asked = time.perf_counter()
            seen.append(batch := next(batches))
            waited += time.perf_counter() - asked
            do.shown(learner.progress.step, batch)
            do.unreadable(batch.unreadable)
            losses = _backward(learner, batch, rule.accumulate, compute, group)
            if losses is not None:
                learner.progress.add(losses)
        _update(learner, rule.clip, group)
    except _NotFinite as found:
        learner.undo(statistics)
        told = f"step {learner.progress.step + 1}: expected finite numbers, found {found}; {do.failed(seen)}"
        raise NonFiniteStep(told) from None
    return waited


def _backward(
    learner: Learner, batch: Batch, accumulate: int, compute: Compute, group: Group
) -> dict[str, Tensor] | None:
    """Forward and backward of one batch; this process's parts of the losses, None where no process has an image."""
    canvases = [canvas for count, canvas in group.gather((len(batch.images), _canvas(batch.images))) if count]
    if not canvases:
        return None
    means: dict[str, Mean] = {}
    if len(batch.images):
        # One canvas for the shares of all, as it is for the batch of one process: what is beside a picture counts.
        images = to_device(on_canvas(batch.images, *map(max, zip(*canvases, strict=True))), compute.device)
        targets = targets_to(batch.targets, compute.device)
        with compute.autocast():
            means = learner.detector.means(images, learner.detector.backbone(images.pixels), targets)
    losses = group.parts(means)
    total = torch.stack(list(losses.values())).sum() if losses else torch.zeros(())
    if not all(group.gather(bool(torch.isfinite(total)))):
        named = ", ".join(f"{name} {float(mean.value.detach()):.4g}" for name, mean in means.items())
        raise _NotFinite(named or "the losses of another process")
    if losses:
        learner.scaler.scale(total / accumulate).backward()  # type: ignore[no-untyped-call]
    return losses


def _canvas(images: Images) -> Size:
    return int(images.pixels.shape[2]), int(images.pixels.shape[3])


def _update(learner: Learner, clip: float, group: Group) -> None:
    """One step of the optimiser and of the average.

    The scaler of fp16 leaves out a step whose gradients overflow, and lowers its scale; else none may.
    """
    group.sum_gradients(learner.detector.parameters())
    if clip or not learner.scaler.is_enabled():
        learner.scaler.unscale_(learner.optimizer)
        gradients = [parameter.grad for parameter in learner.detector.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not (learner.scaler.is_enabled() or torch.isfinite(norm)):
            raise _NotFinite(f"gradients with a norm of {float(norm):.4g}")
        if clip:
            nn.utils.clip_grads_with_norm_(learner.detector.parameters(), clip, norm)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.average is not None:
        learner.average.update(learner.detector, learner.progress.step)


def step_seed(seed: int, step: int) -> int:
    """What torch draws from in a step (dropout), in the first of several processes; in the n-th it is n larger."""
    return randomness.key(seed, "step", step)


@contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Turns Ctrl-C and SIGTERM into a flag, so that the step under way ends; a second Ctrl-C ends at once."""
    seen = False

    def note(_: int, __: FrameType | None) -> None:
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
