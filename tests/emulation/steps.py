"""Training steps and detections of the product on the emulated device, and the waits of the host in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from detect.config import Config
from detect.config.builders.detector import with_tta
from detect.data.loading.collate import Batch
from detect.evaluation.predictions import Prediction
from detect.inference.dataset_pass import detections_only, run_on_dataset
from detect.models.detector import Detector
from detect.models.tta import DetectorWithTTA
from detect.training.loop import Callbacks, train_loop
from detect.training.precision import compute_config
from detect.training.setup import build_schedule, build_train_state, loop_config
from detect.training.state import TrainState
from tests.emulation.configurations import annotations_of, make_batch, random_detector, without_targets
from tests.emulation.emulated_device import Counts, EmulatedDevice


@dataclass(frozen=True)
class Waits:
    """How often the host waits in a training step without its backward pass, in that, and in a batch's detection."""

    step: int
    backward: int
    detection: int


def new_state(config: Config) -> TrainState:
    """Return the state of a training of a random detector before its first step."""
    return build_train_state(config, random_detector(config).to(compute_config(config).device))


def train_steps(config: Config, state: TrainState, batch: Batch, gpu: EmulatedDevice, steps: int) -> Counts:
    """Train with the product's loop and return the counts of the last step but one, from batch to batch.

    Constants are copied to the device in the first step, and the end of a training may wait once more.
    """
    counts: list[Counts] = []

    def on_batch(step: int, _: Batch) -> None:
        if step == len(counts):
            counts.append(gpu.take_counts())

    def ignore(_: object) -> None:
        pass

    loop = replace(loop_config(config, 1), steps=steps, log_every=99, checkpoint_every=99, validate_at=frozenset[int]())
    callbacks = Callbacks(
        log=ignore,
        validate=lambda: False,
        save=lambda: None,
        on_batch=on_batch,
        on_unreadable=ignore,
        on_other_sizes=ignore,
        on_non_finite=lambda _: "",
    )
    train_loop(state, _endless(batch), build_schedule(config, steps), loop, compute_config(config), callbacks)
    return counts[-1]


def _endless(batch: Batch) -> Iterator[Batch]:
    while True:
        yield batch


def detect_batch(
    config: Config, detector: Detector | DetectorWithTTA, batch: Batch, gpu: EmulatedDevice
) -> tuple[list[Prediction], Counts]:
    """Return the predictions of a batch, and the counts of it."""
    gpu.take_counts()
    step = detections_only(detector)
    predictions = run_on_dataset(step, [batch], annotations_of(batch), compute_config(config)).predictions
    return predictions, gpu.take_counts()


def count_waits(config: Config, num_images: int, gpu: EmulatedDevice) -> Waits:
    """Return the waits of a training step and of a detection of ``num_images`` images; print them by line.

    It is the second step and the second detection: constants are on the device from the first one on.
    """
    batch, state = make_batch(config, num_images), new_state(config)
    step = train_steps(config, state, batch, gpu, 3)
    detector = with_tta(config, state.eval_model)
    detection = [detect_batch(config, detector, without_targets(batch), gpu)[1] for _ in range(2)][1]
    parts = {"step": step.waits, "backward pass": step.backward_waits, "detection": detection.waits}
    print(f"\n{num_images} images, {step.operations} operations a step, {detection.operations} a detection")
    for name, waits in (parts | {"not pinned": step.pageable}).items():
        print(f"{name}: {waits.total()}\n{_table(waits)}")
    return Waits(step=step.waits.total(), backward=step.backward_waits.total(), detection=detection.waits.total())


def _table(waits: Mapping[str, int]) -> str:
    return "\n".join(f"{count:5} {line}" for line, count in Counter(waits).most_common())
