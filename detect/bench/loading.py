"""Whether images are ready faster than the training of the built-in configuration takes them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console

from detect.bench.result_tables import Table, raw_seconds
from detect.bench.timing import Contender, timed, time_interleaved
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

CONFIG = "faster_rcnn"
MIN_LOADER_SPEED = 4.0  # times what a step consumes
BATCHES = 20  # a turn


@dataclass(frozen=True)
class TrainingSetup:
    """An endless supply of batches, and a learner to take them."""

    batches: Callable[[], Iterator[Batch]]
    train_state: TrainState
    compute: ComputeConfig

    def step(self, batch: Batch) -> None:
        """Forward, backward, update."""
        self.train_state.optimizer.zero_grad(set_to_none=True)
        images, targets = (
            batch.images.to(self.compute.device),
            tuple(target.to(self.compute.device) for target in batch.targets),
        )
        losses = self.train_state.detector(images, targets)
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        self.train_state.optimizer.step()


def measure_loading(turns: int, command: str) -> Table:
    """Images a second of the loader alone, with the workers that the configuration has, and of training steps alone."""
    config = load_config(Path(CONFIG))
    with tempfile.TemporaryDirectory() as folder:
        bench = _make_setup(config, Path(folder))
        kept = list(islice(bench.batches(), BATCHES))

    def train() -> None:
        for batch in kept:
            bench.step(batch)

    contenders: dict[str, Contender] = {"training steps": timed(train), "loader": _loading(bench)}
    timings = time_interleaved(contenders, turns)
    images = BATCHES * config.train.batch_size
    speeds = {name: images / each.median for name, each in timings.items()}
    times = speeds["loader"] / speeds["training steps"]
    verdict = "reached" if times >= MIN_LOADER_SPEED else "MISSED"
    return Table(
        f"Loading: configs/{CONFIG}.yaml, built-in data, {config.data.workers} workers",
        command,
        ("contender", "images a second", "median s of a turn", "quickest s", "slowest s"),
        tuple((name, speeds[name], each.median, *each.min_max) for name, each in timings.items()),
        (f"the loader alone delivers {times:.1f} times what training consumes (target {MIN_LOADER_SPEED}: {verdict})",),
        raw_seconds(timings),
    )


def _loading(bench: TrainingSetup) -> Contender:
    """The start of workers does not count: a run starts them once."""
    batches = bench.batches()
    next(batches)

    def load() -> None:
        for _ in range(BATCHES):
            next(batches)

    return timed(load)


def _make_setup(config: Config, folder: Path) -> TrainingSetup:
    train, val = training_data(config)
    compute = select_device("cpu", "fp32")
    detector, _ = build_detector(config, train.classes)
    work = RunContext(config, RunFolder(folder), train, val, None, compute, Console(quiet=True))

    def batches() -> Iterator[Batch]:
        plan = default_task(work).make_sampler(1_000_000, 0)
        rule, augment = build_preprocess(config), build_augment(config)
        return iter(training_loader(train, rule, augment, plan, config.seed, config.data.workers))

    return TrainingSetup(batches, build_train_state(config, detector.train()), compute)
