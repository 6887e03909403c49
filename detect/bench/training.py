"""Training steps, from decoded images to updated weights: ours, torchvision's and detectron2's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn, optim

from detect.bench import detectron2_peer
from detect.bench.operations import profile_table
from detect.bench.random_model import BenchModel, make_bench_model
from detect.bench.relative_time import point_estimate, relative_time
from detect.bench.result_tables import COMPARISON_COLUMNS, BenchmarkTable, comparison_rows, format_cell, raw_seconds
from detect.bench.same_draws import LOSS_NAMES, share_sampling
from detect.bench.timing import time_interleaved, timed
from detect.bench.torchvision_peer import to_torchvision_images, to_torchvision_targets, torchvision_reference
from detect.config import Precision
from detect.ops.preprocess import rescale_boxes
from detect.system.device import select_device
from detect.system.numbers import largest
from detect.types import Targets

MIN_SPEEDUP: dict[Precision, float] = {"fp32": 2.0, "bf16": 2.5}  # over torchvision
OBJECTS = 6  # in each image
LEARNING_RATE = 1e-4  # small, so that the weights hardly change
TORCHVISION = "torchvision, fp32"
TrainingStep = Callable[[], dict[str, Tensor]]


@dataclass(frozen=True)
class TrainingCase:
    """A case to measure: its title, the overrides of torchvision's R50-FPN settings, and the batch size."""

    title: str
    overrides: tuple[str, ...]
    batch_size: int


CASES = (
    TrainingCase("Training step: R50-FPN, 800 pixels, batch of 1", (), 1),
    TrainingCase(
        "Training step: R18-FPN, 320 pixels, batch of 4",
        ("model.backbone.name=resnet18", "data.min_size=320", "data.max_size=533"),
        4,
    ),
)


def measure_training(images: Sequence[np.ndarray], repeats: int, command: str) -> list[BenchmarkTable]:
    """Return the tables of each of CASES, and one compared with detectron2 where it is installed.

    A step is the forward pass, the backward pass and SGD with momentum, transforms included.
    """
    tables = [table for case in CASES for table in _compare_with_torchvision(case, images, repeats, command)]
    return [*tables, _compare_with_detectron2(images, repeats, command)] if detectron2_peer.installed() else tables


def _compare_with_torchvision(
    case: TrainingCase, images: Sequence[np.ndarray], repeats: int, command: str
) -> list[BenchmarkTable]:
    """Return the comparison, and where a target is missed the profile of the slowest operations."""
    bench_model = make_bench_model(case.overrides, 90, images)
    batch = [images[index % len(images)] for index in range(case.batch_size)]
    targets = random_targets(batch, len(bench_model.classes))
    differences = loss_differences(bench_model, batch, targets)
    ours = {precision: detect_step(bench_model, batch, targets, precision) for precision in MIN_SPEEDUP}
    theirs = torchvision_step(bench_model, batch, targets)
    timings = time_interleaved(
        {f"detect, {precision}": timed(run) for precision, run in ours.items()} | {TORCHVISION: timed(theirs)}, repeats
    )
    speedups = {
        precision: relative_time(timings[TORCHVISION], timings[f"detect, {precision}"]) for precision in MIN_SPEEDUP
    }
    met = {precision: point_estimate(speedups[precision]) >= MIN_SPEEDUP[precision] for precision in MIN_SPEEDUP}
    notes = [
        f"{precision}: speedup over torchvision in fp32 {format_cell(speedups[precision])} (at least {min_speedup}: "
        f"{'target met' if met[precision] else 'target missed'}); on the same samples each "
        f"loss is equal to torchvision's up to a relative difference of {differences[precision]:.1e}"
        for precision, min_speedup in MIN_SPEEDUP.items()
    ]
    rows = comparison_rows(timings, "detect, fp32")
    tables = [BenchmarkTable(case.title, command, COMPARISON_COLUMNS, rows, tuple(notes), raw_seconds(timings))]
    if not all(met.values()):
        runs = {"detect, fp32": ours["fp32"], TORCHVISION: theirs}
        tables.append(profile_table(f"Profile of the slowest operations. {case.title}", command, runs))
    return tables


def _compare_with_detectron2(images: Sequence[np.ndarray], repeats: int, command: str) -> BenchmarkTable:
    """Return the table of detectron2's R50-FPN with its own settings, one image in each step."""
    reference = detectron2_peer.make_reference(images[0])
    batch = images[:1]
    targets = random_targets(batch, len(reference.bench_model.classes))
    variants = {
        f"detect, {precision}": timed(detect_step(reference.bench_model, batch, targets, precision))
        for precision in MIN_SPEEDUP
    }
    model = reference.model.train()
    variants["detectron2, fp32"] = timed(make_step(model, lambda: reference.losses(batch, targets), fused=False))
    timings = time_interleaved(variants, repeats)
    notes = tuple(
        f"{precision}: speedup over detectron2 in fp32 "
        f"{format_cell(relative_time(timings['detectron2, fp32'], timings[f'detect, {precision}']))}"
        for precision in MIN_SPEEDUP
    )
    rows = comparison_rows(timings, "detect, fp32")
    title = f"Training step compared with detectron2: its {detectron2_peer.NAME}, 800 pixels, batch of 1"
    return BenchmarkTable(title, command, COMPARISON_COLUMNS, rows, notes, raw_seconds(timings))


def random_targets(images: Sequence[np.ndarray], num_classes: int, seed: int = 0) -> list[Targets]:
    """Return random targets of all sizes and positions for images (H, W, 3), in their pixels."""
    rng = np.random.default_rng(seed)
    targets = []
    for image in images:
        height, width = image.shape[:2]
        sides = rng.uniform(0.1, 0.6, (OBJECTS, 2)) * (width, height)
        corners = rng.random((OBJECTS, 2)) * ((width, height) - sides)
        boxes = torch.from_numpy(np.concatenate([corners, corners + sides], 1)).float()
        flags = torch.zeros(OBJECTS, dtype=torch.bool)
        targets.append(Targets(boxes, torch.from_numpy(rng.integers(1, num_classes + 1, OBJECTS)), flags, flags))
    return targets


def detect_step(
    bench_model: BenchModel, images: Sequence[np.ndarray], targets: Sequence[Targets], precision: Precision
) -> TrainingStep:
    """Return a step of our detector that updates the weights and returns the losses."""
    detector, losses = _detect_losses(bench_model, images, targets, precision)
    return make_step(detector, losses, fused=True)


def torchvision_step(bench_model: BenchModel, images: Sequence[np.ndarray], targets: Sequence[Targets]) -> TrainingStep:
    """Return the same step of torchvision's detector, as in its reference script."""
    reference = torchvision_reference(bench_model).train()
    return make_step(
        reference, lambda: reference(to_torchvision_images(images), to_torchvision_targets(targets)), fused=False
    )


def make_step(model: nn.Module, losses: TrainingStep, fused: bool) -> TrainingStep:
    """Return a step of the losses of ``model``, their gradients and an update.

    fused: SGD in one kernel for all weights.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = optim.SGD(trainable, LEARNING_RATE, momentum=0.9, fused=fused)

    def step() -> dict[str, Tensor]:
        optimizer.zero_grad(set_to_none=True)
        step_losses = losses()
        torch.autograd.backward(torch.stack(list(step_losses.values())).sum())
        optimizer.step()
        return step_losses

    return step


@torch.no_grad()
def loss_differences(
    bench_model: BenchModel, images: Sequence[np.ndarray], targets: Sequence[Targets]
) -> dict[Precision, float]:
    """Return for each precision of ours the largest relative difference of a loss of ours from torchvision's in fp32,
    with the same weights and the same sampled anchors and regions.
    """
    reference = torchvision_reference(bench_model).train()
    share_sampling(reference, bench_model.config)
    theirs: dict[str, Tensor] = reference(to_torchvision_images(images), to_torchvision_targets(targets))
    differences = {}
    for precision in MIN_SPEEDUP:
        ours = _detect_losses(bench_model, images, targets, precision)[1]()
        differences[precision] = largest(abs(float(ours[LOSS_NAMES[name]] / loss) - 1) for name, loss in theirs.items())
    return differences


def _detect_losses(
    bench_model: BenchModel, rgb_images: Sequence[np.ndarray], targets: Sequence[Targets], precision: Precision
) -> tuple[nn.Module, TrainingStep]:
    """Return a detector of ours, and a function that returns its losses, from decoded images on."""
    detector, preprocess = bench_model.detector().train(), bench_model.preprocess
    compute = select_device("cpu", precision)

    def losses() -> dict[str, Tensor]:
        images = preprocess.batch(
            [preprocess.normalize(preprocess.resize(image)) for image in rgb_images], range(len(rgb_images))
        )
        resized_targets = [
            replace(target, boxes=rescale_boxes(target.boxes, (image.shape[0], image.shape[1]), size))
            for target, image, size in zip(targets, rgb_images, images.sizes, strict=True)
        ]
        with compute.autocast():
            return {name: loss.value for name, loss in detector(images, resized_targets).items()}

    return detector, losses
