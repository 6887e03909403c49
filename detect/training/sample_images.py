"""Image grids of a run: training batches, and detections on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations
from detect.data.images import read_image
from detect.data.loading.collate import Batch
from detect.data.masks import decode
from detect.draw import LabeledBoxes, draw_detections, draw_targets_and_detections, image_grid, save_image
from detect.inference.dataset_pass import DatasetPredictions
from detect.ops.preprocess import Preprocess

MAX_IMAGES = 8  # on a sheet
MIN_SCORE = 0.5  # detections drawn


def draw_batch(batch: Batch, preprocess: Preprocess, classes: Sequence[str], file: Path) -> None:
    """Draw a training batch as the network gets it, with its boxes, which shows bad data or augmentation at once."""
    drawn = []
    for pixels, (height, width), targets in zip(
        batch.images.pixels[:MAX_IMAGES], batch.images.sizes, batch.targets, strict=False
    ):
        rgb = preprocess.denormalize(pixels[:, :height, :width])
        masks = None if targets.masks is None else targets.masks.numpy()
        boxes = LabeledBoxes(boxes=targets.boxes.numpy(), labels=targets.labels.numpy(), masks=masks)
        drawn.append(draw_detections(rgb, boxes, classes))
    save_image(file, image_grid(drawn, 4))


def draw_validation(predictions: DatasetPredictions, annotations: Annotations, file: Path) -> None:
    """Draw images spread evenly over the validation data, ground truth next to detections."""
    pairs = []
    for index in np.linspace(0, len(annotations) - 1, min(MAX_IMAGES, len(annotations))).astype(int).tolist():
        truth, prediction = annotations[index], predictions.predictions[index]
        if any(truth.file in line for line in predictions.unreadable):
            continue
        rgb = read_image(truth.file)
        size = (rgb.shape[0], rgb.shape[1])
        confident = prediction.select(prediction.scores >= MIN_SCORE)
        bitmaps = [decode(mask, size) for mask in confident.masks or ()]
        pairs.append(
            draw_targets_and_detections(
                rgb,
                LabeledBoxes(
                    truth.boxes, truth.labels, masks=None if truth.masks is None else truth.masks.bitmaps(size)
                ),
                LabeledBoxes(
                    confident.boxes, confident.labels, confident.scores, None if confident.masks is None else bitmaps
                ),
                annotations.classes,
            )
        )
    if pairs:
        save_image(file, image_grid(pairs, 2))
