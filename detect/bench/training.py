"""Steps of training: ours and torchvision's, from decoded photos to changed weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, optim

from detect.bench.profile import profile_table
from detect.bench.subject import Subject, make_subject
from detect.bench.tables import COMPARED, Table, compared, ratio, raw_seconds
from detect.bench.torchvision_peer import pictures_for, targets_for, torchvision_twin
from detect.bench.turns import clocked, take_turns
from detect.config import Precision
from detect.precision import make_compute
from detect.preprocess import rescale_boxes
from detect.types import Targets

LEAST: dict[Precision, float] = {"fp32": 2.0, "bf16": 2.5}  # times torchvision's speed
OBJECTS = 6  # on each photo
RATE = 1e-4  # small, so that the weights stay about what they are


@dataclass(frozen=True)
class Step:
    """What is measured: title; overrides of torchvision's R50-FPN settings; photos a step."""

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


def measure_training(photos: Sequence[np.ndarray], turns: int, command: str) -> list[Table]:
    """A table for each of STEPS: forward, backward and SGD with momentum, transforms included."""
    return [table for step in STEPS for table in _measured(step, photos, turns, command)]


def _measured(step: Step, photos: Sequence[np.ndarray], turns: int, command: str) -> list[Table]:
    """The comparison, and where a target is missed the operations that take the time."""
    subject = make_subject(step.overrides, 90, photos)
    batch = [photos[place % len(photos)] for place in range(step.batch)]
    targets = drawn_targets(batch, len(subject.classes))
    ours = {precision: our_step(subject, batch, targets, precision) for precision in LEAST}
    theirs = their_step(subject, batch, targets)
    contenders = {f"detect, {precision}": clocked(run) for precision, run in ours.items()}
    contenders["torchvision, fp32"] = clocked(theirs)
    timings = take_turns(contenders, turns)
    stock = timings["torchvision, fp32"].median
    times = {precision: stock / timings[f"detect, {precision}"].median for precision in LEAST}
    remarks = [
        f"{precision}: {ratio(times[precision])} times torchvision's speed (target {least}: "
        f"{'reached' if times[precision] >= least else 'MISSED'})"
        for precision, least in LEAST.items()
    ]
    rows = compared(timings, "detect, fp32")
    tables = [Table(step.title, command, COMPARED, rows, tuple(remarks), raw_seconds(timings))]
    if any(times[precision] < least for precision, least in LEAST.items()):
        runs = {name: partial(run, 0) for name, run in (("detect, fp32", ours["fp32"]), ("torchvision, fp32", theirs))}
        tables.append(profile_table(f"What binds. {step.title}", command, runs))
    return tables


def drawn_targets(photos: Sequence[np.ndarray], classes: int, seed: int = 0) -> list[Targets]:
    """Objects of all sizes at random places, in the photos' pixels."""
    rng = np.random.default_rng(seed)
    found = []
    for photo in photos:
        height, width = photo.shape[:2]
        sides = rng.uniform(0.1, 0.6, (OBJECTS, 2)) * (width, height)
        corners = rng.random((OBJECTS, 2)) * ((width, height) - sides)
        boxes = torch.from_numpy(np.concatenate([corners, corners + sides], 1)).float()
        flags = torch.zeros(OBJECTS, dtype=torch.bool)
        found.append(Targets(boxes, torch.from_numpy(rng.integers(1, classes + 1, OBJECTS)), flags, flags))
    return found


def our_step(
    subject: Subject, photos: Sequence[np.ndarray], targets: Sequence[Targets], precision: Precision
) -> Callable[[int], dict[str, Tensor]]:
    """One update of the weights; the losses."""
    detector, rule, compute = subject.detector().train(), subject.preprocess, make_compute("cpu", precision)
    learning = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    optimizer = optim.SGD(learning, RATE, momentum=0.9, fused=True)

    def step(turn: int) -> dict[str, Tensor]:  # noqa: ARG001
        images = rule.batch([rule.normalise(rule.resize(photo)) for photo in photos], range(len(photos)))
        fitted = [
            Targets(
                rescale_boxes(each.boxes, (photo.shape[0], photo.shape[1]), size),
                each.labels,
                each.difficult,
                each.crowd,
            )
            for each, photo, size in zip(targets, photos, images.sizes, strict=True)
        ]
        optimizer.zero_grad(set_to_none=True)
        with compute.autocast():
            losses: dict[str, Tensor] = detector(images, fitted)
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
        return losses

    return step


def their_step(
    subject: Subject, photos: Sequence[np.ndarray], targets: Sequence[Targets]
) -> Callable[[int], dict[str, Tensor]]:
    """The same by torchvision, as its reference script does it."""
    twin = torchvision_twin(subject).train()
    learning = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    optimizer = optim.SGD(learning, RATE, momentum=0.9)

    def step(turn: int) -> dict[str, Tensor]:  # noqa: ARG001
        losses: dict[str, Tensor] = twin(pictures_for(photos), targets_for(targets))
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
        return losses

    return step
