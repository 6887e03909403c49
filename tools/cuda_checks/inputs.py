"""Images, settings, models and short trainings that several checks need."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console

from detect.bench.random_model import BenchModel, make_bench_model
from detect.bench.training import random_targets
from detect.config import Config, Precision
from detect.config.builders.data import training_data
from detect.config.files import load_config, with_overrides
from detect.data.loading.collate import Batch
from detect.ops.preprocess import Preprocess, rescale_boxes
from detect.system.device import ComputeConfig
from detect.training.loop import Callbacks, LoopConfig, train_loop
from detect.training.run import train
from detect.training.setup import build_schedule
from detect.training.state import TrainState
from detect.types import Images, Size, Targets
from tools.cuda_checks.records import Setup

QUIET = Console(quiet=True)
TOLERANCE_PX = 0.05
SMALL_NETWORK = ("model.backbone.name=resnet18", "data.min_size=160", "data.max_size=200")
STEPS = 60  # of the trainings of part 2


def random_images(count: int) -> list[np.ndarray]:
    """Return images of smooth random colors, RGB (480, 640, 3) uint8: noise of pixels would look the same anywhere."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, 15, 20, 3), dtype=np.uint8)
    return [cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC) for image in coarse]


def bench_model(setup: Setup) -> BenchModel:
    """Return R50-FPN with random weights for images of 800 pixels; R18-FPN for 160 in a trial."""
    return make_bench_model(SMALL_NETWORK if setup.small else (), 10 if setup.small else 90, random_images(1))


def make_batch(preprocess: Preprocess, images: Sequence[np.ndarray], num_classes: int) -> Batch:
    """Return a batch of images (H, W, 3) with random targets, on the CPU."""
    batch = preprocess.batch([preprocess.normalize(preprocess.resize(image)) for image in images], range(len(images)))
    originals = tuple((image.shape[0], image.shape[1]) for image in images)
    targets = make_targets(images, batch.sizes, num_classes, seed=0)
    indices = tuple(range(len(images)))
    files = tuple(f"{index}.png" for index in indices)
    return Batch(batch, targets, originals, indices, files, indices, ())


def make_targets(
    images: Sequence[np.ndarray], sizes: Sequence[Size], num_classes: int, seed: int
) -> tuple[Targets, ...]:
    """Return random targets for images (H, W, 3) that are resized to ``sizes``."""
    return tuple(
        replace(target, boxes=rescale_boxes(target.boxes, (image.shape[0], image.shape[1]), size))
        for target, image, size in zip(random_targets(images, num_classes, seed), images, sizes, strict=True)
    )


def empty_batch() -> Batch:
    """Return what a batch becomes if none of its images can be read."""
    return Batch(Images(torch.zeros(0, 3, 1, 1), (), ()), (), (), (), (), (), ("a.png: damaged",))


@dataclass(frozen=True)
class Steps:
    """The steps of a training: seconds of each, and the mean losses of all."""

    seconds: tuple[float, ...]
    losses: dict[str, float]


def run_steps(
    config: Config,
    state: TrainState,
    compute: ComputeConfig,
    batches: Sequence[Batch],
    steps: int,
    on_step: Callable[[int], None] = lambda _: None,
) -> Steps:
    """Train ``steps`` steps more with the loop of ``detect train`` on the batches, again from the first after the last.

    on_step: called with the number of each step before it.
    """
    times: list[float] = []

    def begin(step: int, _: Batch) -> None:
        times.append(time.perf_counter())
        on_step(step)

    end = state.progress.step + steps
    loop = LoopConfig(config.seed, end, 1, config.train.clip_grad_norm, end + 1, end + 1, frozenset())
    callbacks = Callbacks(
        log=lambda _: None,
        validate=lambda: False,
        save=lambda: None,
        on_batch=begin,
        on_unreadable=lambda _: None,
        on_other_sizes=lambda _: None,
        on_non_finite=lambda _: "",
    )
    train_loop(state, itertools.cycle(batches), build_schedule(config, end), loop, compute, callbacks)
    losses = state.progress.take_means() if state.progress.num_batches else {}
    times.append(time.perf_counter())
    return Steps(tuple(np.diff(times).tolist()), losses)


def shapes_config(setup: Setup, name: str = "faster_rcnn.yaml", changes: Sequence[str] = ()) -> Config:
    """Return a built-in configuration on few drawn images, which are drawn into the folder of ``setup`` once."""
    train_images, val_images = (12, 4) if setup.small else (240, 40)
    images = [
        f"data.root={setup.work / 'shapes'}",
        f"data.train_images={train_images}",
        f"data.val_images={val_images}",
    ]
    sizes = ["data.min_size=64", "data.max_size=96"] if setup.small else []
    steps = 4 if setup.small else STEPS
    defaults = [f"device={setup.device}", f"train.steps={steps}", "train.validate_every=null", "train.log_every=2"]
    return load_config(Path(name), [*images, *sizes, *defaults, *changes])


def trained(setup: Setup, precision: Precision = "fp32") -> Path:
    """Return the run folder of the training of part 2 in a precision; trains where there is none."""
    folder = setup.work / f"run-{precision}"
    if not (folder / "best.pt").is_file():
        changes = [f"train.precision={precision}", "train.validate_every=1"]  # in the middle and at the end
        train(shapes_config(setup, changes=changes), folder, QUIET)
    return folder


def drawn_files(setup: Setup, count: int) -> list[Path]:
    """Return files of drawn images of the validation split."""
    _, val = training_data(shapes_config(setup))
    return [Path(val.file(index)) for index in range(min(count, len(val)))]


def proposal_file(setup: Setup) -> Path:
    """Write a file of proposals for all drawn images: boxes near their objects and random ones."""
    file, random, entries = setup.work / "proposals.json", np.random.default_rng(0), []
    for images in training_data(shapes_config(setup)):
        for image in (images[index] for index in range(len(images))):
            height, width = image.size
            anywhere = np.sort(random.uniform(0, 1, (40, 2, 2)), axis=1) * [width, height]
            near = np.repeat(image.boxes, 8, axis=0) + random.uniform(-4, 4, (8 * len(image.boxes), 4))
            boxes = np.concatenate([anywhere.reshape(-1, 4), near.clip(0, [width, height, width, height])])
            entries.append({"file": image.file, "boxes": boxes.tolist()})
    file.write_text(json.dumps(entries), encoding="utf-8")
    return file


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute convolutions of float32 in float32, not in TF32, which torch takes on a GPU by default."""
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def in_precision(config: Config, precision: Precision) -> Config:
    """Return the settings with another precision of training."""
    return with_overrides(config, [f"train.precision={precision}"])
