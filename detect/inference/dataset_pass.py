"""Runs a detector on a data set. Detections are in pixels of the original images; losses are optional."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detect.data.annotations import Annotations
from detect.data.loading.collate import Batch
from detect.data.masks import RleMask, encode_window
from detect.evaluation.predictions import Prediction, empty_prediction
from detect.inference.runtimes.graph_detector import GraphDetector
from detect.models.detector import Detector
from detect.models.tta import DetectorWithTTA
from detect.ops.masks import paste_masks
from detect.ops.preprocess import rescale_boxes
from detect.system.device import ComputeConfig
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup
from detect.system.numbers import format_count
from detect.types import Detections, Images, MeanLoss, Size, Targets


@dataclass(frozen=True)
class DatasetPredictions:
    """The predictions of a detector on a data set.

    predictions: one for each image, in order; losses: mean losses by name, empty if the step computes none; unreadable:
    a line for each image that cannot be read, which counts as an image without detections; other_sizes: a line for each
    that is not of the size in its labels; unread: the indices of the images that cannot be read.
    """

    predictions: list[Prediction]
    losses: dict[str, float]
    unreadable: tuple[str, ...]
    other_sizes: tuple[str, ...] = ()
    unread: tuple[int, ...] = ()


def describe_other_sizes(lines: Iterable[str]) -> str:
    """Return the count and the first of the lines ``other_sizes``, each counted once; an empty text for none."""
    sizes = list(dict.fromkeys(lines))
    return f"{format_count(len(sizes), 'image')} of another size than labelled: {sizes[0]}" if sizes else ""


BatchOutput = tuple[list[Detections], dict[str, Tensor]]  # detections of each image of a batch, losses by name
PredictStep = Callable[[Images, tuple[Targets, ...]], BatchOutput]


def detections_only(detector: Detector | DetectorWithTTA | GraphDetector) -> PredictStep:
    """Return a step for ``run_on_dataset`` that computes detections."""
    detector.eval()

    def step(images: Images, _: tuple[Targets, ...]) -> BatchOutput:
        return detector.detect(images), {}

    return step


def detections_and_losses(detector: Detector) -> PredictStep:
    """Return a step for ``run_on_dataset`` that computes detections and losses. The backbone runs once for both."""
    detector.eval()

    def step(images: Images, targets: tuple[Targets, ...]) -> BatchOutput:
        maps = detector.backbone(images.pixels)
        return detector.detect(images, maps), _loss_values(detector(images, targets, maps))

    return step


def proposals_and_losses(detector: Detector) -> PredictStep:
    """Return a step for ``run_on_dataset`` that computes the RPN's proposals, all with label 1, and its losses."""
    detector.eval()

    def step(images: Images, targets: tuple[Targets, ...]) -> BatchOutput:
        maps = detector.backbone(images.pixels)
        proposals = detector.proposer(images, maps, detector.test_selection).proposals
        detections = [
            Detections(image.boxes, image.scores, torch.ones_like(image.scores, dtype=torch.int64))
            for image in proposals
        ]
        return detections, _loss_values(detector(images, targets, maps))

    return step


def _loss_values(losses: dict[str, MeanLoss]) -> dict[str, Tensor]:
    return {name: loss.value for name, loss in losses.items()}


def no_progress(num_images: int) -> None:
    """Ignore the progress."""


@dataclass(frozen=True)
class BatchPredictions:
    """The predictions of one batch by the index of the image, and the sums of the losses over its images."""

    predictions: dict[int, Prediction]
    losses: dict[str, float]
    unreadable: tuple[str, ...]
    other_sizes: tuple[str, ...] = ()


def run_on_dataset(
    step: PredictStep,
    batches: Iterable[Batch],
    annotations: Annotations,
    compute: ComputeConfig,
    progress: Callable[[int], None] = no_progress,
    group: ProcessGroup = SINGLE_PROCESS,
) -> DatasetPredictions:
    """Run ``step`` on every batch of a data set. Each process of ``group`` has a shard of the batches.

    All processes get all predictions, with the numbers that a single process would compute. progress: called with the
    number of images of each batch.
    """
    local_batches = []
    for batch in batches:
        local_batches.append(_predict_batch(step, batch, compute))
        progress(len(batch.images) + len(batch.unreadable))
    return gather_predictions(local_batches, annotations, group)


def gather_predictions(
    local_batches: Sequence[BatchPredictions], annotations: Annotations, group: ProcessGroup
) -> DatasetPredictions:
    """Return the predictions of a data set in order; local_batches: those of this process, its shard of all batches."""
    predictions = [empty_prediction(annotations.file(i), annotations.size(i)) for i in range(len(annotations))]
    sums: dict[str, float] = {}
    unreadable: list[str] = []
    other_sizes: list[str] = []
    read: set[int] = set()
    for batch_predictions in group.interleave(group.gather(local_batches)):
        unreadable += batch_predictions.unreadable
        other_sizes += batch_predictions.other_sizes
        read.update(batch_predictions.predictions)
        for name, loss in batch_predictions.losses.items():
            sums[name] = sums.get(name, 0.0) + loss
        for index, prediction in batch_predictions.predictions.items():
            predictions[index] = prediction
    losses = {name: total / len(read) for name, total in sums.items()}
    return DatasetPredictions(
        predictions=predictions,
        losses=losses,
        unreadable=tuple(unreadable),
        other_sizes=tuple(other_sizes),
        unread=tuple(index for index in range(len(annotations)) if index not in read),
    )


def _predict_batch(step: PredictStep, batch: Batch, compute: ComputeConfig) -> BatchPredictions:
    if not len(batch.images):
        return BatchPredictions({}, {}, batch.unreadable)
    images, targets = batch.images.to(compute.device), tuple(target.to(compute.device) for target in batch.targets)
    with torch.no_grad(), compute.autocast():
        detections, losses = step(images, targets)
    predictions = [
        as_prediction(*arguments)
        for arguments in zip(_to_cpu(detections), images.sizes, batch.original_sizes, batch.files, strict=True)
    ]
    sums = {name: float(loss) * len(images) for name, loss in losses.items()}
    by_index = dict(zip(batch.indices, predictions, strict=True))
    return BatchPredictions(by_index, sums, batch.unreadable, batch.other_sizes)


def _to_cpu(detections: Sequence[Detections]) -> list[Detections]:
    """Return the detections of N images on the CPU; a GPU is waited for once for each field, not for each image."""
    counts = [len(image) for image in detections]
    boxes, scores, labels = (
        torch.split(torch.cat(parts).cpu(), counts)
        for parts in zip(*((image.boxes, image.scores, image.labels) for image in detections), strict=True)
    )
    masks = [image.masks for image in detections if image.masks is not None]
    split_masks: Sequence[Tensor | None] = (
        torch.split(torch.cat(masks).cpu(), counts) if masks else [None] * len(counts)
    )
    return [Detections(boxes[i], scores[i], labels[i], masks=split_masks[i]) for i in range(len(detections))]


def as_prediction(detections: Detections, resized: Size, original: Size, file: str) -> Prediction:
    """Return detections of a resized image as a Prediction for the original; resized, original: their sizes (h, w)."""
    boxes = rescale_boxes(detections.boxes.double().cpu(), resized, original)
    return Prediction(
        file=file,
        width=original[1],
        height=original[0],
        boxes=boxes.numpy(),
        scores=detections.scores.double().cpu().numpy(),
        labels=detections.labels.cpu().numpy().astype(np.int64),
        masks=None if detections.masks is None else _encode_masks(detections.masks.cpu(), boxes, original),
    )


def _encode_masks(masks: Tensor, boxes: Tensor, size: Size) -> tuple[RleMask, ...]:
    """Return masks (D, M, M) of boxes (D, 4) as pixels of an image of ``size`` (h, w), one at a time to save memory.

    Each is pasted into a window of whole pixels around its box.
    """
    encoded = []
    sides = torch.tensor([size[1], size[0]] * 2)
    windows = torch.cat([boxes[:, :2].floor(), boxes[:, 2:].ceil()], 1).clamp(torch.zeros(4), sides).long()
    for mask, box, (x1, y1, x2, y2) in zip(masks, boxes, windows.tolist(), strict=True):
        moved = box - torch.tensor([x1, y1, x1, y1])
        bitmap = paste_masks(mask[None], moved[None], (max(0, y2 - y1), max(0, x2 - x1)))[0]
        encoded.append(encode_window(bitmap.numpy(), x1, y1, size))
    return tuple(encoded)
