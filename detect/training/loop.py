"""The training loop: load, forward, backward, step, log, validate, save.

A step is one update of the weights and uses ``accumulate`` batches. Every random draw of a step is keyed by the step's
number, so a run that was interrupted and resumed computes the same as an undisturbed one: to the bit on CPUs, and on a
GPU with ``train.deterministic``.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
from torch import Tensor

from detect.data.loading.collate import Batch
from detect.errors import RunError
from detect.system import randomness
from detect.system.device import ComputeConfig
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup
from detect.training.backward import Backward, open_backward
from detect.training.optimizer import Schedule, set_learning_rate
from detect.training.state import TrainState
from detect.training.update import Gradients, Update, update_weights


class Interrupted(RunError):  # noqa: N818 - named after the event
    """Ctrl-C or SIGTERM ended the run; everything up to the last full step is saved."""

    status = 130


class NonFiniteStep(RunError):  # noqa: N818
    """A loss or a gradient is not finite; the weights are those before the step."""


# The scaler halves its scale at each skipped step; after so many in a row 65536 has become less than 1.
MAX_SKIPPED_STEPS = 20


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
    unread: Update | None = None
    with _catch_interrupts() as interrupted, open_backward(state, config.accumulate, compute, group) as backward:
        while progress.step < config.steps:
            state.detector.train()
            torch.manual_seed(step_seed(config.seed, progress.step) + group.rank)
            rate = set_learning_rate(state.optimizer, schedule.factor(progress.step))
            started = time.perf_counter()
            gradients, waiting = _compute_gradients(state, batches, config, callbacks, backward)
            _require_applied(unread, state, callbacks)  # while a GPU still computes these gradients
            unread = update_weights(state, gradients, config.clip_grad_norm)
            progress.step += 1
            logs, validates = progress.step % config.log_every == 0, progress.step in config.validate_at
            saves = validates or progress.step == config.steps or progress.step % config.checkpoint_every == 0
            if logs or saves or not compute.is_asynchronous:
                _require_applied(unread, state, callbacks)
                unread = None
            data_seconds += waiting
            step_seconds += time.perf_counter() - started - waiting

            if logs and progress.num_batches:
                seconds = {
                    "data_seconds": data_seconds / config.log_every,
                    "step_seconds": step_seconds / config.log_every,
                }
                means = group.sum_by_name(progress.take_means())
                callbacks.log({"step": progress.step, "lr": rate, "loss": sum(means.values()), **means, **seconds})
                data_seconds = step_seconds = 0.0
            stop = validates and callbacks.validate()
            (must_end,) = group.any([interrupted()])
            if saves or must_end:
                _require_applied(unread, state, callbacks)
                callbacks.save()
            if must_end:
                raise Interrupted(f"interrupted after step {progress.step}")
            if stop:
                return


def _require_applied(update: Update | None, state: TrainState, callbacks: Callbacks) -> None:
    """Read whether the device has made an update, and count its losses.

    Raises NonFiniteStep if it has not, with ``state`` as it was before that step. With fp16 the scaler skips steps to
    find its scale; there it is raised after MAX_SKIPPED_STEPS of them in a row.
    """
    if update is None:
        return
    progress, gradients = state.progress, update.gradients
    if update.applied.read():
        progress.skipped_steps = 0
        for losses in gradients.losses:
            progress.add(losses)
        return
    progress.skipped_steps += 1
    if state.scaler.is_enabled() and progress.skipped_steps < MAX_SKIPPED_STEPS:
        return
    progress.step = gradients.step
    state.rollback(gradients.statistics)
    in_a_row = f" in {MAX_SKIPPED_STEPS} steps in a row of fp16" if state.scaler.is_enabled() else ""
    explanation = callbacks.on_non_finite(gradients.batches)
    raise NonFiniteStep(
        f"step {progress.step + 1}: expected finite numbers, found {update.describe_non_finite()}{in_a_row}; "
        f"{explanation}"
    )


def _compute_gradients(
    state: TrainState, batches: Iterator[Batch], config: LoopConfig, callbacks: Callbacks, backward: Backward
) -> tuple[Gradients, float]:
    """Run forward and backward on ``config.accumulate`` batches; return also the seconds spent waiting for them."""
    waiting, step = 0.0, state.progress.step
    used_batches: list[Batch] = []
    all_losses: list[dict[str, Tensor]] = []
    statistics = state.bn_statistics()
    state.optimizer.zero_grad(set_to_none=True)
    for index in range(config.accumulate):
        asked_at = time.perf_counter()
        used_batches.append(batch := next(batches))
        waiting += time.perf_counter() - asked_at
        callbacks.on_batch(step, batch)
        callbacks.on_unreadable(batch.unreadable)
        callbacks.on_other_sizes(batch.other_sizes)
        losses = backward(batch, step * config.accumulate + index, is_last=index + 1 == config.accumulate)
        all_losses += [] if losses is None else [losses]
    gradients = Gradients(
        step=step,
        batches=tuple(used_batches),
        losses=tuple(all_losses),
        loss=backward.global_loss(all_losses) if all_losses else None,
        statistics=statistics,
    )
    return gradients, waiting


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
