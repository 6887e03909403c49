"""Steps of training: ours, torchvision's and detectron2's, from decoded images to changed weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn, optim

from detect.bench import detectron2_peer
from detect.bench.operations import profile_table
from detect.bench.random_model import BenchModel, make_bench_model
from detect.bench.result_tables import COMPARISON_COLUMNS, Table, comparison_rows, format_ratio, raw_seconds
from detect.bench.same_draws import LOSS_NAMES, share_sampling
from detect.bench.timing import timed, time_interleaved
from detect.bench.torchvision_peer import to_torchvision_images, to_torchvision_targets, torchvision_reference
from detect.config import Precision
from detect.ops.preprocess import rescale_boxes
from detect.system.device import select_device
from detect.types import Targets

MIN_SPEEDUP: dict[Precision, float] = {"fp32": 2.0, "bf16": 2.5}  # times torchvision's speed
OBJECTS = 6  # on each image
LEARNING_RATE = 1e-4  # small, so that the weights stay about what they are
TORCHVISION = "torchvision, fp32"
TrainingStep = Callable[[], dict[str, Tensor]]


@dataclass(frozen=True)
class TrainingCase:
    """What is measured: title; overrides of torchvision's R50-FPN settings; images a step."""

    title: str
    overrides: tuple[str, ...]
    batch: int


CASES = (
    TrainingCase("Training step: R50-FPN, 800 pixels, batch of 1", (), 1),
    TrainingCase(
        "Training step: R18-FPN, 320 pixels, batch of 4",
        ("model.backbone.name=resnet18", "data.min_size=320", "data.max_size=533"),
        4,
    ),
)


def measure_training(images: Sequence[np.ndarray], turns: int, command: str) -> list[Table]:
    """A table for each of STEPS, and one beside detectron2 where it is installed: forward, backward and SGD with
    momentum, transforms included.
    """
    tables = [table for step in CASES for table in _compare_with_torchvision(step, images, turns, command)]
    return [*tables, _compare_with_detectron2(images, turns, command)] if detectron2_peer.installed() else tables


def _compare_with_torchvision(step: TrainingCase, images: Sequence[np.ndarray], turns: int, command: str) -> list[Table]:
    """The comparison, and where a target is missed the operations that take the time."""
    subject = make_bench_model(step.overrides, 90, images)
    batch = [images[place % len(images)] for place in range(step.batch)]
    targets = random_targets(batch, len(subject.classes))
    apart = loss_differences(subject, batch, targets)
    ours = {precision: detect_step(subject, batch, targets, precision) for precision in MIN_SPEEDUP}
    theirs = torchvision_step(subject, batch, targets)
    timings = time_interleaved(
        {f"detect, {precision}": timed(run) for precision, run in ours.items()} | {TORCHVISION: timed(theirs)}, turns
    )
    times = {precision: timings[TORCHVISION].median / timings[f"detect, {precision}"].median for precision in MIN_SPEEDUP}
    remarks = [
        f"{precision}: {format_ratio(times[precision])} times torchvision's speed (target {least}: "
        f"{'reached' if times[precision] >= least else 'MISSED'}); of the same samples the losses are torchvision's "
        f"within {apart[precision]:.1e} of each"
        for precision, least in MIN_SPEEDUP.items()
    ]
    rows = comparison_rows(timings, "detect, fp32")
    tables = [Table(step.title, command, COMPARISON_COLUMNS, rows, tuple(remarks), raw_seconds(timings))]
    if any(times[precision] < least for precision, least in MIN_SPEEDUP.items()):
        runs = {"detect, fp32": ours["fp32"], TORCHVISION: theirs}
        tables.append(profile_table(f"What binds. {step.title}", command, runs))
    return tables


def _compare_with_detectron2(images: Sequence[np.ndarray], turns: int, command: str) -> Table:
    """R50-FPN as its configuration has it, one image a step."""
    rival = detectron2_peer.make_reference(images[0])
    batch = images[:1]
    targets = random_targets(batch, len(rival.bench_model.classes))
    contenders = {f"detect, {each}": timed(detect_step(rival.bench_model, batch, targets, each)) for each in MIN_SPEEDUP}
    twin = rival.model.train()
    contenders["detectron2, fp32"] = timed(make_step(twin, lambda: rival.losses(batch, targets), fused=False))
    timings = time_interleaved(contenders, turns)
    stock = timings["detectron2, fp32"].median
    remarks = tuple(
        f"{each}: {format_ratio(stock / timings[f'detect, {each}'].median)} times detectron2's speed" for each in MIN_SPEEDUP
    )
    rows = comparison_rows(timings, "detect, fp32")
    title = f"Training step beside detectron2: its {detectron2_peer.NAME}, 800 pixels, batch of 1"
    return Table(title, command, COMPARISON_COLUMNS, rows, remarks, raw_seconds(timings))


def random_targets(images: Sequence[np.ndarray], classes: int, seed: int = 0) -> list[Targets]:
    """Objects of all sizes at random places, in the images' pixels."""
    rng = np.random.default_rng(seed)
    found = []
    for image in images:
        height, width = image.shape[:2]
        sides = rng.uniform(0.1, 0.6, (OBJECTS, 2)) * (width, height)
        corners = rng.random((OBJECTS, 2)) * ((width, height) - sides)
        boxes = torch.from_numpy(np.concatenate([corners, corners + sides], 1)).float()
        flags = torch.zeros(OBJECTS, dtype=torch.bool)
        found.append(Targets(boxes, torch.from_numpy(rng.integers(1, classes + 1, OBJECTS)), flags, flags))
    return found


def detect_step(subject: BenchModel, images: Sequence[np.ndarray], targets: Sequence[Targets], precision: Precision) -> TrainingStep:
    """One update of the weights."""
    detector, losses = _detect_losses(subject, images, targets, precision)
    return make_step(detector, losses, fused=True)


def torchvision_step(subject: BenchModel, images: Sequence[np.ndarray], targets: Sequence[Targets]) -> TrainingStep:
    """The same by torchvision, as its reference script does it."""
    twin = torchvision_reference(subject).train()
    return make_step(twin, lambda: twin(to_torchvision_images(images), to_torchvision_targets(targets)), fused=False)


def make_step(model: nn.Module, losses: TrainingStep, fused: bool) -> TrainingStep:
    """Losses of ``model``, their gradients and an update; fused: SGD in one kernel for all weights."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = optim.SGD(learning, LEARNING_RATE, momentum=0.9, fused=fused)

    def step() -> dict[str, Tensor]:
        optimizer.zero_grad(set_to_none=True)
        found = losses()
        torch.autograd.backward(torch.stack(list(found.values())).sum())
        optimizer.step()
        return found

    return step


@torch.no_grad()
def loss_differences(subject: BenchModel, images: Sequence[np.ndarray], targets: Sequence[Targets]) -> dict[Precision, float]:
    """By precision of ours the largest difference between a loss of ours and torchvision's in fp32, as a share of it,
    with the same weights and the same draws of anchors and regions.
    """
    twin = torchvision_reference(subject).train()
    share_sampling(twin, subject.config)
    theirs: dict[str, Tensor] = twin(to_torchvision_images(images), to_torchvision_targets(targets))
    apart = {}
    for precision in MIN_SPEEDUP:
        ours = _detect_losses(subject, images, targets, precision)[1]()
        apart[precision] = max(abs(float(ours[LOSS_NAMES[name]] / loss) - 1) for name, loss in theirs.items())
    return apart


def _detect_losses(
    subject: BenchModel, image_files: Sequence[np.ndarray], targets: Sequence[Targets], precision: Precision
) -> tuple[nn.Module, TrainingStep]:
    """A detector of ours, and its losses from decoded images on."""
    detector, rule, compute = subject.detector().train(), subject.preprocess, select_device("cpu", precision)

    def losses() -> dict[str, Tensor]:
        images = rule.batch([rule.normalize(rule.resize(image)) for image in image_files], range(len(image_files)))
        fitted = [
            replace(each, boxes=rescale_boxes(each.boxes, (image.shape[0], image.shape[1]), size))
            for each, image, size in zip(targets, image_files, images.sizes, strict=True)
        ]
        with compute.autocast():
            found: dict[str, Tensor] = detector(images, fitted)
        return found

    return detector, losses
