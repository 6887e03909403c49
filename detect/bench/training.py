"""Steps of training: ours, torchvision's and detectron2's, from decoded images to changed weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn, optim

from detect.bench import detectron2_peer
from detect.bench.operations import profile_table
from detect.bench.random_model import Subject, make_subject
from detect.bench.result_tables import COMPARED, Table, compared, ratio, raw_seconds
from detect.bench.same_draws import LOSSES, draw_alike
from detect.bench.timing import clocked, take_turns
from detect.bench.torchvision_peer import pictures_for, targets_for, torchvision_twin
from detect.config import Precision
from detect.ops.preprocess import rescale_boxes
from detect.system.device import select_device
from detect.types import Targets

LEAST: dict[Precision, float] = {"fp32": 2.0, "bf16": 2.5}  # times torchvision's speed
OBJECTS = 6  # on each image
RATE = 1e-4  # small, so that the weights stay about what they are
STOCK = "torchvision, fp32"
Run = Callable[[], dict[str, Tensor]]


@dataclass(frozen=True)
class Step:
    """What is measured: title; overrides of torchvision's R50-FPN settings; images a step."""

    title: str
    overrides: tuple[str, ...]
    batch: int


STEPS = (
    Step("Training step: R50-FPN, 800 pixels, batch of 1", (), 1),
    Step(
        "Training step: R18-FPN, 320 pixels, batch of 4",
        ("model.backbone.name=resnet18", "data.min_size=320", "data.max_size=533"),
        4,
    ),
)


def measure_training(images: Sequence[np.ndarray], turns: int, command: str) -> list[Table]:
    """A table for each of STEPS, and one beside detectron2 where it is installed: forward, backward and SGD with
    momentum, transforms included.
    """
    tables = [table for step in STEPS for table in _beside_torchvision(step, images, turns, command)]
    return [*tables, _beside_detectron2(images, turns, command)] if detectron2_peer.installed() else tables


def _beside_torchvision(step: Step, images: Sequence[np.ndarray], turns: int, command: str) -> list[Table]:
    """The comparison, and where a target is missed the operations that take the time."""
    subject = make_subject(step.overrides, 90, images)
    batch = [images[place % len(images)] for place in range(step.batch)]
    targets = drawn_targets(batch, len(subject.classes))
    apart = losses_apart(subject, batch, targets)
    ours = {precision: our_step(subject, batch, targets, precision) for precision in LEAST}
    theirs = torchvision_step(subject, batch, targets)
    timings = take_turns(
        {f"detect, {precision}": clocked(run) for precision, run in ours.items()} | {STOCK: clocked(theirs)}, turns
    )
    times = {precision: timings[STOCK].median / timings[f"detect, {precision}"].median for precision in LEAST}
    remarks = [
        f"{precision}: {ratio(times[precision])} times torchvision's speed (target {least}: "
        f"{'reached' if times[precision] >= least else 'MISSED'}); of the same samples the losses are torchvision's "
        f"within {apart[precision]:.1e} of each"
        for precision, least in LEAST.items()
    ]
    rows = compared(timings, "detect, fp32")
    tables = [Table(step.title, command, COMPARED, rows, tuple(remarks), raw_seconds(timings))]
    if any(times[precision] < least for precision, least in LEAST.items()):
        runs = {"detect, fp32": ours["fp32"], STOCK: theirs}
        tables.append(profile_table(f"What binds. {step.title}", command, runs))
    return tables


def _beside_detectron2(images: Sequence[np.ndarray], turns: int, command: str) -> Table:
    """R50-FPN as its configuration has it, one image a step."""
    rival = detectron2_peer.make_rival(images[0])
    batch = images[:1]
    targets = drawn_targets(batch, len(rival.subject.classes))
    contenders = {f"detect, {each}": clocked(our_step(rival.subject, batch, targets, each)) for each in LEAST}
    twin = rival.twin.train()
    contenders["detectron2, fp32"] = clocked(step_of(twin, lambda: rival.losses(batch, targets), fused=False))
    timings = take_turns(contenders, turns)
    stock = timings["detectron2, fp32"].median
    remarks = tuple(
        f"{each}: {ratio(stock / timings[f'detect, {each}'].median)} times detectron2's speed" for each in LEAST
    )
    rows = compared(timings, "detect, fp32")
    title = f"Training step beside detectron2: its {detectron2_peer.NAME}, 800 pixels, batch of 1"
    return Table(title, command, COMPARED, rows, remarks, raw_seconds(timings))


def drawn_targets(images: Sequence[np.ndarray], classes: int, seed: int = 0) -> list[Targets]:
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


def our_step(subject: Subject, images: Sequence[np.ndarray], targets: Sequence[Targets], precision: Precision) -> Run:
    """One update of the weights."""
    detector, losses = _ours(subject, images, targets, precision)
    return step_of(detector, losses, fused=True)


def torchvision_step(subject: Subject, images: Sequence[np.ndarray], targets: Sequence[Targets]) -> Run:
    """The same by torchvision, as its reference script does it."""
    twin = torchvision_twin(subject).train()
    return step_of(twin, lambda: twin(pictures_for(images), targets_for(targets)), fused=False)


def step_of(model: nn.Module, losses: Run, fused: bool) -> Run:
    """Losses of ``model``, their gradients and an update; fused: SGD in one kernel for all weights."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = optim.SGD(learning, RATE, momentum=0.9, fused=fused)

    def step() -> dict[str, Tensor]:
        optimizer.zero_grad(set_to_none=True)
        found = losses()
        torch.autograd.backward(torch.stack(list(found.values())).sum())
        optimizer.step()
        return found

    return step


@torch.no_grad()
def losses_apart(subject: Subject, images: Sequence[np.ndarray], targets: Sequence[Targets]) -> dict[Precision, float]:
    """By precision of ours the largest difference between a loss of ours and torchvision's in fp32, as a share of it,
    with the same weights and the same draws of anchors and regions.
    """
    twin = torchvision_twin(subject).train()
    draw_alike(twin, subject.config)
    theirs: dict[str, Tensor] = twin(pictures_for(images), targets_for(targets))
    apart = {}
    for precision in LEAST:
        ours = _ours(subject, images, targets, precision)[1]()
        apart[precision] = max(abs(float(ours[LOSSES[name]] / loss) - 1) for name, loss in theirs.items())
    return apart


def _ours(
    subject: Subject, image_files: Sequence[np.ndarray], targets: Sequence[Targets], precision: Precision
) -> tuple[nn.Module, Run]:
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
