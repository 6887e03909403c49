"""Measures whether the loader delivers images faster than the training of the built-in configuration uses them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console

from detect.bench.relative_time import point_estimate, relative_time
from detect.bench.result_tables import BenchmarkTable, format_cell, raw_seconds
from detect.bench.timing import Variant, time_interleaved, timed
from detect.config import Config
from detect.config.builders.data import build_augment, training_data
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import load_config
from detect.data.loading.collate import Batch
from detect.data.loading.loader import training_loader
from detect.system.device import ComputeConfig, select_device
from detect.training.context import RunContext
from detect.training.run_folder import RunFolder
from detect.training.setup import build_train_state
from detect.training.state import TrainState
from detect.training.task import default_task
from detect.types import MeanLoss

CONFIG = "faster_rcnn"
MIN_RELATIVE_SPEED = 4.0  # images per second, relative to training steps
NUM_BATCHES = 20  # of one repeat


@dataclass(frozen=True)
class TrainingSetup:
    """A function that starts an endless iterator of batches, and a model with its optimizer to train on them."""

    make_batches: Callable[[], Iterator[Batch]]
    train_state: TrainState
    compute: ComputeConfig

    def step(self, batch: Batch) -> None:
        """Run the forward pass, the backward pass and the update of the weights."""
        self.train_state.optimizer.zero_grad(set_to_none=True)
        images, targets = (
            batch.images.to(self.compute.device),
            tuple(target.to(self.compute.device) for target in batch.targets),
        )
        losses: dict[str, MeanLoss] = self.train_state.detector(images, targets)
        torch.autograd.backward(torch.stack([loss.value for loss in losses.values()]).sum())
        self.train_state.optimizer.step()


def measure_loading(repeats: int, command: str) -> BenchmarkTable:
    """Return the images per second of the loader alone, with the config's workers, and of training steps alone."""
    config = load_config(Path(CONFIG))
    with tempfile.TemporaryDirectory() as folder:
        setup = _make_setup(config, Path(folder))
        batches = list(islice(setup.make_batches(), NUM_BATCHES))

    def train() -> None:
        for batch in batches:
            setup.step(batch)

    variants: dict[str, Variant] = {"training steps": timed(train), "loader": _loader(setup)}
    timings = time_interleaved(variants, repeats)
    images = NUM_BATCHES * config.train.batch_size
    speeds = {name: images / timing.median for name, timing in timings.items()}
    relative_speed = relative_time(timings["training steps"], timings["loader"])
    result = "target met" if point_estimate(relative_speed) >= MIN_RELATIVE_SPEED else "target missed"
    return BenchmarkTable(
        f"Loading: configs/{CONFIG}.yaml, built-in data, {config.data.workers} workers",
        command,
        ("variant", "images per second", "median s per repeat", "min s", "max s"),
        tuple((name, speeds[name], timing.median, *timing.min_max) for name, timing in timings.items()),
        (
            f"the loader alone delivers {format_cell(relative_speed)} times as many images per second as training uses "
            f"(at least {MIN_RELATIVE_SPEED}: {result})",
        ),
        raw_seconds(timings),
    )


def _loader(setup: TrainingSetup) -> Variant:
    """Return the loader as a variant. The start of its workers is not timed: a training run starts them once."""
    batches = setup.make_batches()
    next(batches)

    def load() -> None:
        for _ in range(NUM_BATCHES):
            next(batches)

    return timed(load)


def _make_setup(config: Config, folder: Path) -> TrainingSetup:
    train, val = training_data(config)
    compute = select_device("cpu", "fp32")
    detector, _ = build_detector(config, train.classes)
    context = RunContext(config, RunFolder(folder), train, val, None, compute, Console(quiet=True))

    def make_batches() -> Iterator[Batch]:
        sampler = default_task(context).make_sampler(1_000_000, 0)
        preprocess, augment = build_preprocess(config), build_augment(config)
        return iter(training_loader(train, preprocess, augment, sampler, config.seed, config.data.workers))

    return TrainingSetup(make_batches, build_train_state(config, detector.train()), compute)
