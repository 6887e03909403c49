"""The training loop alone, with a model of one weight: the callbacks that it calls, and the state at its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import torch
from torch import nn

from detect.data.loading.collate import Batch
from detect.models.detector import Detector
from detect.system.device import ComputeConfig
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup
from detect.training.loop import MAX_SKIPPED_STEPS, Callbacks, Interrupted, LoopConfig, NonFiniteStep, train_loop
from detect.training.optimizer import ModelEMA, Schedule, build_optimizer
from detect.training.state import TrainingProgress, TrainState
from detect.types import Images, MeanLoss, Targets

NAN = float("nan")
CPU = ComputeConfig(device=torch.device("cpu"))


class ReadLate(ComputeConfig):
    """A CPU whose decisions on updates are read a step later, as those of a GPU are."""

    is_asynchronous = True


@pytest.fixture(params=[False, True], ids=["read at once", "read late"])
def compute(request: pytest.FixtureRequest) -> ComputeConfig:
    return ReadLate(torch.device("cpu")) if request.param else CPU


class TinyDetector(nn.Module):
    """One weight, whose loss is its squared distance to the mean pixel; a norm layer counts the forward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.0))
        self.norm = nn.BatchNorm2d(3, affine=False)

    def forward(
        self,
        images: Images,
        targets: Sequence[Targets],  # noqa: ARG002 - the interface of a detector
    ) -> dict[str, MeanLoss]:
        self.norm(images.pixels)
        return {"distance": MeanLoss(value=(images.pixels.mean() - self.weight) ** 2, count=len(images))}


@dataclass
class Recorder:
    """Callbacks that record their calls; ``stop_at``: the validation that asks to stop, counted from 1."""

    stop_at: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    validations: int = 0
    saves: int = 0
    steps: list[int] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    other_sizes: list[str] = field(default_factory=list)
    bad_files: list[str] = field(default_factory=list)
    on_batch: Callable[[int], None] = lambda _: None

    def callbacks(self) -> Callbacks:
        return Callbacks(
            log=lambda row: self.rows.append(dict(row)),
            validate=self._validate,
            save=self._save,
            on_batch=self._on_batch,
            on_unreadable=self.unreadable.extend,
            on_other_sizes=self.other_sizes.extend,
            on_non_finite=self._on_non_finite,
        )

    def _validate(self) -> bool:
        self.validations += 1
        return self.validations == self.stop_at

    def _save(self) -> None:
        self.saves += 1

    def _on_batch(self, step: int, batch: Batch) -> None:  # noqa: ARG002 - the interface of the callback
        self.steps.append(step)
        self.on_batch(step)

    def _on_non_finite(self, batches: Sequence[Batch]) -> str:
        self.bad_files = [file for batch in batches for file in batch.files]
        return "the end of the message"


def batch(*values: float, unreadable: tuple[str, ...] = (), other_sizes: tuple[str, ...] = ()) -> Batch:
    """A batch of images of 2 x 2 pixels, each filled with a value."""
    count = len(values)
    images = Images(
        pixels=torch.tensor(values).reshape(count, 1, 1, 1).repeat(1, 3, 2, 2),
        sizes=((2, 2),) * count,
        seeds=tuple(range(count)),
    )
    none = torch.zeros(0)
    target = Targets(boxes=torch.zeros(0, 4), labels=none.long(), difficult=none.bool(), crowd=none.bool())
    return Batch(
        images=images,
        targets=(target,) * count,
        original_sizes=((2, 2),) * count,
        image_ids=tuple(range(count)),
        files=tuple(f"{value:g}.jpg" for value in values),
        indices=tuple(range(count)),
        unreadable=unreadable,
        other_sizes=other_sizes,
    )


def train_state(ema_decay: float | None = None, fp16: bool = False) -> TrainState:
    detector = cast(Detector, TinyDetector())
    groups: list[dict[str, object]] = [{"params": list(detector.parameters()), "lr": 0.25, "peak": 0.25}]
    return TrainState(
        detector=detector,
        optimizer=build_optimizer("sgd", groups, momentum=0.0),
        ema=None if ema_decay is None else ModelEMA(detector, ema_decay),
        scaler=torch.amp.GradScaler("cpu", enabled=fp16),
        progress=TrainingProgress(),
    )


def weight(state: TrainState) -> float:
    return float(cast(TinyDetector, state.detector).weight.detach())


def average(state: TrainState) -> float:
    assert state.ema is not None
    return float(next(state.ema.model.parameters()))


def average_after(*values: float) -> float:
    """The moving average after steps with these batches."""
    state = train_state(ema_decay=0.9)
    run_loop(state, map(batch, values), Recorder(), steps=len(values))
    return average(state)


def num_forwards(state: TrainState) -> int:
    norm = cast(TinyDetector, state.detector).norm
    assert norm.num_batches_tracked is not None
    return int(norm.num_batches_tracked)


def run_loop(
    state: TrainState,
    batches: Iterator[Batch],
    recorder: Recorder,
    steps: int,
    compute: ComputeConfig = CPU,
    group: ProcessGroup = SINGLE_PROCESS,
    **changes: Any,
) -> None:
    settings: dict[str, Any] = {
        "seed": 0,
        "steps": steps,
        "accumulate": 1,
        "clip_grad_norm": 0.0,
        "log_every": 1,
        "checkpoint_every": 100,
        "validate_at": frozenset(),
    }
    schedule = Schedule(shape="constant", steps=max(1, steps))
    train_loop(state, batches, schedule, LoopConfig(**settings | changes), compute, recorder.callbacks(), group)


def test_train_loop_without_steps_calls_nothing() -> None:
    state, recorder = train_state(), Recorder()
    run_loop(state, iter(()), recorder, steps=0)
    assert recorder == Recorder()
    assert weight(state) == 0.0


@pytest.mark.parametrize(
    ("steps", "changes", "rows", "validations", "saves"),
    [
        (1, {}, 1, 0, 1),  # saved at the end
        (5, {"log_every": 2}, 2, 0, 1),
        (5, {"log_every": 9}, 0, 0, 1),
        (6, {"checkpoint_every": 2}, 6, 0, 3),
        (6, {"checkpoint_every": 4, "validate_at": frozenset({3, 6})}, 6, 2, 3),
    ],
)
def test_train_loop_calls_back_at_the_configured_steps(
    steps: int, changes: dict[str, Any], rows: int, validations: int, saves: int
) -> None:
    recorder = Recorder()
    run_loop(train_state(), (batch(1.0) for _ in range(steps)), recorder, steps, **changes)
    assert (len(recorder.rows), recorder.validations, recorder.saves) == (rows, validations, saves)
    assert recorder.steps == list(range(steps))


def test_train_loop_updates_the_weight_by_its_gradient() -> None:
    state, recorder = train_state(), Recorder()
    run_loop(state, iter([batch(1.0), batch(1.0)]), recorder, steps=2)
    assert weight(state) == pytest.approx(0.75)  # each step halves the distance of 1
    assert [row["loss"] for row in recorder.rows] == pytest.approx([1.0, 0.25])
    assert [row["distance"] for row in recorder.rows] == pytest.approx([1.0, 0.25])
    assert [(row["step"], row["lr"]) for row in recorder.rows] == [(1, 0.25), (2, 0.25)]


def test_train_loop_accumulates_batches_into_one_step() -> None:
    state, recorder = train_state(), Recorder()
    run_loop(state, iter([batch(0.0), batch(2.0)]), recorder, steps=1, accumulate=2)
    assert weight(state) == pytest.approx(0.5)  # half of each gradient
    assert recorder.steps == [0, 0]
    assert recorder.rows[0]["loss"] == pytest.approx(2.0)  # the mean of 0 and 4


def test_train_loop_clips_the_norm_of_the_gradient() -> None:
    state = train_state()
    run_loop(state, iter([batch(1.0)]), Recorder(), steps=1, clip_grad_norm=0.5)
    assert weight(state) == pytest.approx(0.125, abs=1e-4)


def test_train_loop_updates_the_moving_average() -> None:
    state = train_state(ema_decay=0.9)
    run_loop(state, iter([batch(1.0)]), Recorder(), steps=1)
    assert state.ema is not None
    assert float(next(state.ema.model.parameters())) == pytest.approx(0.45)  # the first decay is 0.1


def test_train_loop_stops_early_and_saves_when_validation_asks() -> None:
    state, recorder = train_state(), Recorder(stop_at=2)
    run_loop(state, (batch(1.0) for _ in range(9)), recorder, steps=9, validate_at=frozenset({1, 3, 5, 9}))
    assert (state.progress.step, recorder.validations, recorder.saves) == (3, 2, 2)


def test_train_loop_batch_without_images_is_a_step_without_a_row() -> None:
    state, recorder = train_state(), Recorder()
    run_loop(state, iter([batch(unreadable=("a.jpg: broken",))]), recorder, steps=1)
    assert (state.progress.step, recorder.rows, recorder.saves) == (1, [], 1)
    assert recorder.unreadable == ["a.jpg: broken"]
    assert weight(state) == 0.0


def test_train_loop_reports_images_of_another_size() -> None:
    recorder = Recorder()
    run_loop(train_state(), iter([batch(1.0), batch(1.0, other_sizes=("a.jpg: other",))]), recorder, steps=2)
    assert recorder.other_sizes == ["a.jpg: other"]


def test_train_loop_resumed_equals_an_undisturbed_one() -> None:
    values = [1.0, -3.0, 2.0, 5.0]
    undisturbed, first = train_state(), train_state()
    run_loop(undisturbed, map(batch, values), Recorder(), steps=4)
    run_loop(first, map(batch, values[:2]), Recorder(), steps=2)
    second = train_state()
    second.restore(first.eval_model.state_dict(), first.progress.step, first.state_dict())
    run_loop(second, map(batch, values[2:]), Recorder(), steps=4)
    assert weight(second) == weight(undisturbed)
    assert second.progress.step == 4


@pytest.mark.parametrize("log_every", [1, 5])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_train_loop_non_finite_loss_raises_and_rolls_back(value: float, log_every: int, compute: ComputeConfig) -> None:
    state, recorder = train_state(ema_decay=0.9), Recorder()
    message = r"^step 3: expected finite numbers, found distance (nan|inf); the end of the message$"
    batches = map(batch, [1.0, 3.0, value, 5.0])
    with pytest.raises(NonFiniteStep, match=message):
        run_loop(state, batches, recorder, 5, compute, log_every=log_every)
    assert recorder.bad_files == [f"{value:g}.jpg"]
    reads_late = compute.is_asynchronous and log_every > 1
    assert recorder.steps == [0, 1, 2, 3] if reads_late else [0, 1, 2]  # the next step was computed, and not applied
    assert (state.progress.step, weight(state)) == (2, 1.75)
    assert num_forwards(state) == 2  # buffers are restored too
    assert average(state) == average_after(1.0, 3.0)


def test_train_loop_non_finite_last_step_is_neither_validated_nor_saved(compute: ComputeConfig) -> None:
    """Also if the run is interrupted in that step."""
    state = train_state(ema_decay=0.9)
    recorder = Recorder(on_batch=lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 1 else None)
    with pytest.raises(NonFiniteStep, match=r"^step 2: expected finite numbers, found distance nan; "):
        run_loop(state, map(batch, [1.0, NAN]), recorder, 2, compute, log_every=100, validate_at=frozenset({2}))
    assert (recorder.validations, recorder.saves, state.progress.step) == (0, 0, 1)
    assert (weight(state), average(state)) == (0.5, average_after(1.0))


def test_train_loop_interrupted_in_a_non_finite_step_saves_nothing(compute: ComputeConfig) -> None:
    state = train_state()
    recorder = Recorder(on_batch=lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 1 else None)
    with pytest.raises(NonFiniteStep, match=r"^step 2: "):
        run_loop(state, map(batch, [1.0, NAN, 1.0]), recorder, 9, compute, log_every=100)
    assert (recorder.saves, state.progress.step, weight(state)) == (0, 1, 0.5)


@pytest.mark.parametrize("values", [(NAN, 3.0), (3.0, NAN)])
def test_train_loop_non_finite_batch_of_several_in_a_step(values: tuple[float, float], compute: ComputeConfig) -> None:
    state, recorder = train_state(ema_decay=0.9), Recorder()
    with pytest.raises(NonFiniteStep, match=r"^step 2: expected finite numbers, found distance nan; "):
        run_loop(state, map(batch, [1.0, 1.0, *values, 5.0, 5.0]), recorder, 3, compute, accumulate=2, log_every=5)
    assert recorder.bad_files == [f"{value:g}.jpg" for value in values]
    assert (state.progress.step, weight(state), num_forwards(state)) == (1, 0.5, 2)
    assert average(state) == average_after(1.0)


def test_train_loop_read_late_computes_the_same(compute: ComputeConfig) -> None:
    values = [1.0, -3.0, 2.0, 5.0, 0.5]
    state, recorder, expected, undisturbed = train_state(ema_decay=0.9), Recorder(), train_state(0.9), Recorder()
    run_loop(expected, map(batch, values), undisturbed, steps=5, log_every=2, checkpoint_every=3)
    run_loop(state, map(batch, values), recorder, 5, compute, log_every=2, checkpoint_every=3)
    assert (weight(state), average(state)) == (weight(expected), average(expected))
    losses = [[row["loss"] for row in each.rows] for each in (recorder, undisturbed)]
    assert losses[0] == losses[1]
    assert (len(losses[0]), recorder.saves, state.progress.num_batches) == (2, undisturbed.saves, 1)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_train_loop_interrupted_finishes_its_step_and_saves(
    signal_number: signal.Signals, compute: ComputeConfig
) -> None:
    state = train_state()
    recorder = Recorder(on_batch=lambda step: os.kill(os.getpid(), signal_number) if step == 1 else None)
    before = signal.getsignal(signal_number)
    with pytest.raises(Interrupted, match=r"^interrupted after step 2$"):
        run_loop(state, (batch(1.0) for _ in range(9)), recorder, 9, compute, log_every=100)
    assert (state.progress.step, state.progress.num_batches, recorder.saves) == (2, 2, 1)
    assert signal.getsignal(signal_number) == before


def test_train_loop_fp16_batch_without_images_changes_nothing() -> None:
    state, recorder = train_state(fp16=True), Recorder()
    run_loop(state, iter([batch(unreadable=("a.jpg: broken",)), batch(1.0)]), recorder, steps=2)
    assert state.progress.step == 2
    assert weight(state) == pytest.approx(0.5)
    assert len(recorder.rows) == 1


@pytest.mark.parametrize("clip", [0.0, 100.0])
def test_train_loop_fp16_skips_a_step_that_is_not_finite(clip: float, compute: ComputeConfig) -> None:
    state, recorder = train_state(ema_decay=0.9, fp16=True), Recorder()
    batches = map(batch, [1.0, float("inf"), float("nan"), 1.0])
    run_loop(state, batches, recorder, 4, compute, clip_grad_norm=clip)
    assert weight(state) == pytest.approx(0.75)
    assert num_forwards(state) == 2  # a skipped step leaves the buffers too
    assert state.scaler.get_scale() == 65536 / 4
    assert [row["step"] for row in recorder.rows] == [1, 4]


def test_train_loop_fp16_ends_after_many_skipped_steps_in_a_row(compute: ComputeConfig) -> None:
    bad = [float("nan")] * (MAX_SKIPPED_STEPS - 1)
    state, recorder = train_state(fp16=True), Recorder()
    run_loop(state, map(batch, [*bad, 1.0, *bad, 1.0]), recorder, 2 * MAX_SKIPPED_STEPS, compute, log_every=100)
    assert weight(state) == pytest.approx(0.75)
    message = (
        rf"^step {3 * MAX_SKIPPED_STEPS}: expected finite numbers, found losses or gradients that are not in 20 st"
    )
    with pytest.raises(NonFiniteStep, match=message):
        run_loop(state, map(batch, [*bad, float("nan"), 1.0]), recorder, 4 * MAX_SKIPPED_STEPS, compute, log_every=100)
    assert recorder.bad_files == ["nan.jpg"]
    assert weight(state) == pytest.approx(0.75)
