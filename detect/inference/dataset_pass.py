"""A detector run over a data set: detections in pixels of the original images, and on request the losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detect.data.annotations import Annotations
from detect.data.loading.collate import Batch
from detect.evaluation.predictions import Prediction, nothing_found
from detect.models.detector import Detector
from detect.models.tta import ManyLooks
from detect.ops.preprocess import rescale_boxes
from detect.system.device import Compute
from detect.system.distributed import ALONE, Group
from detect.types import Detections, Images, Size, Targets, targets_to, to_device


@dataclass(frozen=True)
class Pass:
    """One pass over a data set: a prediction for each image in order, mean losses (empty where not asked for), and a
    line for each image that could not be read (it counts as an image without detections).
    """

    predictions: list[Prediction]
    losses: dict[str, float]
    unreadable: tuple[str, ...]


Answer = tuple[list[Detections], dict[str, Tensor]]  # of a batch: detections, and losses where asked for
Looking = Callable[[Images, tuple[Targets, ...]], Answer]


def detections_only(detector: Detector | ManyLooks) -> Looking:
    """For ``run_over``: what is there."""
    detector.eval()

    def look(images: Images, _: tuple[Targets, ...]) -> Answer:
        return detector.detect(images), {}

    return look


def detections_and_losses(detector: Detector) -> Looking:
    """For ``run_over``: what is there, and how wrong the network is about it. The body runs once for both."""
    detector.eval()

    def look(images: Images, targets: tuple[Targets, ...]) -> Answer:
        maps = detector.backbone(images.pixels)
        found = detector.detections(images, detector.raw(images, maps))
        return found, detector.losses(images, maps, targets)

    return look


def proposals_and_losses(detector: Detector) -> Looking:
    """For ``run_over``: what an RPN proposes, all with label 1, and how wrong it is about it."""
    detector.eval()

    def look(images: Images, targets: tuple[Targets, ...]) -> Answer:
        maps = detector.backbone(images.pixels)
        proposed = detector.proposer(images, maps, detector.selection).proposals
        found = [Detections(one.boxes, one.scores, torch.ones_like(one.scores, dtype=torch.int64)) for one in proposed]
        return found, detector.losses(images, maps, targets)

    return look


def _unseen(images: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class _Seen:
    """What came of one batch: predictions by the image's place, and sums of the losses over its images."""

    predictions: dict[int, Prediction]
    losses: dict[str, float]
    unreadable: tuple[str, ...]


def run_over(
    looking: Looking,
    batches: Iterable[Batch],
    annotations: Annotations,
    compute: Compute,
    progress: Callable[[int], None] = _unseen,
    group: Group = ALONE,
) -> Pass:
    """Detect on every batch of a data set; of several processes each has its share of the batches.

    All processes get the whole pass, with the numbers that one alone would find.
    """
    own = []
    for batch in batches:
        own.append(_look(looking, batch, compute))
        progress(len(batch.images) + len(batch.unreadable))
    predictions = [nothing_found(annotations.file(i), annotations.size(i)) for i in range(len(annotations))]
    sums: dict[str, float] = {}
    unreadable: list[str] = []
    counted = 0
    for seen in group.dealt_back(group.gather(own)):
        unreadable += seen.unreadable
        counted += len(seen.predictions)
        for name, loss in seen.losses.items():
            sums[name] = sums.get(name, 0.0) + loss
        for index, prediction in seen.predictions.items():
            predictions[index] = prediction
    return Pass(predictions, {name: value / counted for name, value in sums.items()}, tuple(unreadable))


def _look(looking: Looking, batch: Batch, compute: Compute) -> _Seen:
    if not len(batch.images):
        return _Seen({}, {}, batch.unreadable)
    images, targets = to_device(batch.images, compute.device), targets_to(batch.targets, compute.device)
    with torch.no_grad(), compute.autocast():
        found, losses = looking(images, targets)
    predictions = [as_prediction(*one) for one in zip(found, images.sizes, batch.originals, batch.files, strict=True)]
    sums = {name: float(loss) * len(images) for name, loss in losses.items()}
    return _Seen(dict(zip(batch.indices, predictions, strict=True)), sums, batch.unreadable)


def as_prediction(detections: Detections, resized: Size, original: Size, file: str) -> Prediction:
    """Detections of a resized image as a Prediction for the original."""
    boxes = rescale_boxes(detections.boxes.double().cpu(), resized, original)
    return Prediction(
        file=file,
        width=original[1],
        height=original[0],
        boxes=boxes.numpy(),
        scores=detections.scores.double().cpu().numpy(),
        labels=detections.labels.cpu().numpy().astype(np.int64),
    )
