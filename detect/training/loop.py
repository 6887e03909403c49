"""The training loop: load, forward, backward, step, log, validate, save.

A step is one update of the weights and uses ``accumulate`` batches. Every random draw of a step is keyed by the step's
number, so a run that was interrupted and resumed computes the same as an undisturbed one.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
from torch import nn

from detect.data.loading.collate import Batch
from detect.errors import RunError
from detect.ops.preprocess import pad_to
from detect.system import randomness
from detect.system.device import ComputeConfig
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup
from detect.training.optimizer import Schedule, set_learning_rate
from detect.training.state import TrainState
from detect.training.sync_norm import require_full_shares
from detect.types import Images, MeanLoss, Size


class Interrupted(RunError):  # noqa: N818 - named after the event
    """Ctrl-C or SIGTERM ended the run; everything up to the last full step is saved."""

    status = 130


class NonFiniteStep(RunError):  # noqa: N818
    """A loss or a gradient is not finite; the weights are those before the step."""


# The scaler halves its scale at each skipped step; after so many in a row 65536 has become less than 1.
MAX_SKIPPED_STEPS = 20


class _NonFinite(Exception):  # noqa: N818
    """The text names the losses or gradients that are not finite."""


@dataclass(frozen=True)
class LoopConfig:
    """The settings of the loop; lengths are in steps.

    accumulate: batches per step; clip_grad_norm: the largest norm of the gradients, 0 for no limit; validate_at: the
    numbers of steps after which to validate.
    """

    seed: int
    steps: int
    accumulate: int
    clip_grad_norm: float
    log_every: int
    checkpoint_every: int
    validate_at: frozenset[int]


@dataclass(frozen=True)
class Callbacks:
    """The functions that the loop calls.

    log(row): called every ``log_every`` steps with mean losses and times. validate(): returns whether to stop early.
    save(): writes last.pt. on_batch(step, batch): called with every batch before it is used. on_unreadable(lines):
    called with a line for each image of a batch that could not be read; on_other_sizes(lines): for each that is not of
    the size that its labels state. on_non_finite(batches): called with the batches
    of a step whose losses or gradients are not finite; returns the end of the error message.
    """

    log: Callable[[Mapping[str, float | int]], None]
    validate: Callable[[], bool]
    save: Callable[[], None]
    on_batch: Callable[[int, Batch], None]
    on_unreadable: Callable[[Sequence[str]], None]
    on_other_sizes: Callable[[Sequence[str]], None]
    on_non_finite: Callable[[Sequence[Batch]], str]


def train_loop(
    state: TrainState,
    batches: Iterator[Batch],
    schedule: Schedule,
    config: LoopConfig,
    compute: ComputeConfig,
    callbacks: Callbacks,
    group: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train from ``state.progress.step`` to ``config.steps``, or to an early stop.

    batches: this process's share of each batch. Raises NonFiniteStep that names the images, and Interrupted after
    saving; ``state`` is then as it was after the last full step.
    """
    progress = state.progress
    data_seconds = step_seconds = 0.0
    with _catch_interrupts() as interrupted:
        while progress.step < config.steps:
            state.detector.train()
            torch.manual_seed(step_seed(config.seed, progress.step) + group.rank)
            rate = set_learning_rate(state.optimizer, schedule.factor(progress.step))
            started = time.perf_counter()
            waiting = _step(state, batches, config, compute, callbacks, group)
            progress.step += 1
            data_seconds += waiting
            step_seconds += time.perf_counter() - started - waiting

            if progress.step % config.log_every == 0 and progress.num_batches:
                seconds = {
                    "data_seconds": data_seconds / config.log_every,
                    "step_seconds": step_seconds / config.log_every,
                }
                means = group.sum_by_name(progress.take_means())
                callbacks.log({"step": progress.step, "lr": rate, "loss": sum(means.values()), **means, **seconds})
                data_seconds = step_seconds = 0.0
            stop = progress.step in config.validate_at and callbacks.validate()
            must_end = any(group.gather(interrupted()))
            at_end = stop or progress.step == config.steps or must_end
            if at_end or progress.step in config.validate_at or progress.step % config.checkpoint_every == 0:
                callbacks.save()
            if must_end:
                raise Interrupted(f"interrupted after step {progress.step}")
            if stop:
                return


def _step(
    state: TrainState,
    batches: Iterator[Batch],
    config: LoopConfig,
    compute: ComputeConfig,
    callbacks: Callbacks,
    group: ProcessGroup,
) -> float:
    """Update the weights once, with ``config.accumulate`` batches; return the seconds spent waiting for them.

    Raises NonFiniteStep, with ``state`` as it was before the step.
    """
    waiting, has_images = 0.0, False
    used_batches: list[Batch] = []
    bn_statistics = state.bn_statistics()
    state.optimizer.zero_grad(set_to_none=True)
    try:
        for _ in range(config.accumulate):
            asked_at = time.perf_counter()
            used_batches.append(batch := next(batches))
            waiting += time.perf_counter() - asked_at
            callbacks.on_batch(state.progress.step, batch)
            callbacks.on_unreadable(batch.unreadable)
            callbacks.on_other_sizes(batch.other_sizes)
            has_images |= _backward(state, batch, config.accumulate, compute, group)
        if has_images and not _update(state, config.clip_grad_norm, group):
            state.rollback(bn_statistics)
    except _NonFinite as error:
        state.rollback(bn_statistics)
        explanation = callbacks.on_non_finite(used_batches)
        raise NonFiniteStep(
            f"step {state.progress.step + 1}: expected finite numbers, found {error}; {explanation}"
        ) from None
    if state.ema is not None:
        state.ema.update(state.detector, state.progress.step)
    return waiting


def _backward(state: TrainState, batch: Batch, accumulate: int, compute: ComputeConfig, group: ProcessGroup) -> bool:
    """Run forward and backward on one batch and return whether any process has an image.

    This process's parts of the losses are added to the sums of ``state.progress``.
    """
    shares = group.gather((len(batch.images), _padded_size(batch.images)))
    sizes = [size for count, size in shares if count]
    if not sizes:
        return False
    if len(sizes) < group.size:
        require_full_shares(state.detector, [count for count, _ in shares])
    mean_losses: dict[str, MeanLoss] = {}
    if len(batch.images):
        # All shares are padded to one size, as the batch of a single process is: the padding changes the result.
        images = pad_to(batch.images, *map(max, zip(*sizes, strict=True))).to(compute.device)
        targets = tuple(target.to(compute.device) for target in batch.targets)
        with compute.autocast():
            mean_losses = state.detector(images, targets)
    losses = group.global_mean_parts(mean_losses)
    total = torch.stack(list(losses.values())).sum() if losses else torch.zeros(())
    is_finite = all(group.gather(bool(torch.isfinite(total))))
    if not (is_finite or state.scaler.is_enabled()):
        loss_texts = ", ".join(f"{name} {float(mean.value.detach()):.4g}" for name, mean in mean_losses.items())
        raise _NonFinite(loss_texts or "the losses of another process")
    if losses:
        state.scaler.scale(total / accumulate).backward()  # type: ignore[no-untyped-call]
    if is_finite:  # otherwise fp16's scaler skips the step
        state.progress.add(losses)
    return True


def _padded_size(images: Images) -> Size:
    return int(images.pixels.shape[2]), int(images.pixels.shape[3])


def _update(state: TrainState, clip: float, group: ProcessGroup) -> bool:
    """Step the optimizer and return whether it changed the weights.

    With fp16 the scaler skips a step whose gradients are not finite and lowers its scale; too many of these steps in a
    row raise _NonFinite. Otherwise gradients that are not finite raise _NonFinite.
    """
    group.sum_gradients(state.detector.parameters())
    if clip or not state.scaler.is_enabled():
        state.scaler.unscale_(state.optimizer)
        gradients = [parameter.grad for parameter in state.detector.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not (state.scaler.is_enabled() or torch.isfinite(norm)):
            raise _NonFinite(f"gradients with a norm of {float(norm):.4g}")
        if clip:
            nn.utils.clip_grads_with_norm_(state.detector.parameters(), clip, norm)
    scale = state.scaler.get_scale()
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.scaler.get_scale() >= scale:
        state.progress.skipped_steps = 0
        return True
    state.progress.skipped_steps += 1
    if state.progress.skipped_steps >= MAX_SKIPPED_STEPS:
        raise _NonFinite(f"losses or gradients that are not in {MAX_SKIPPED_STEPS} steps in a row of fp16")
    return False


def step_seed(seed: int, step: int) -> int:
    """Return the seed of torch's generator in a step (dropout), for the main process; process n adds n to it."""
    return randomness.hash_key(seed, "step", step)


@contextmanager
def _catch_interrupts() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a flag, so that the current step is finished; a second Ctrl-C ends at once."""
    interrupted = False

    def handle(_: int, __: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        previous = {
            signal_number: signal.signal(signal_number, handle) for signal_number in (signal.SIGINT, signal.SIGTERM)
        }
    except ValueError:  # not the main thread, which alone may set handlers
        previous = {}
    try:
        yield lambda: interrupted
    finally:
        for signal_number, handler in previous.items():
            signal.signal(signal_number, handler)
