"""What a run has seen and found, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations
from detect.data.images import read_image
from detect.data.loading.collate import Batch
from detect.draw import Marks, contact_sheet, draw_detections, draw_targets_beside, save_image
from detect.inference.dataset_pass import Pass
from detect.ops.preprocess import Preprocess

IMAGES = 8  # on a sheet
SCORE = 0.5  # detections drawn


def draw_batch(batch: Batch, preprocess: Preprocess, classes: Sequence[str], file: Path) -> None:
    """A training batch as the network gets it, with its boxes: the quickest way to see bad data or augmentation."""
    pictures = []
    for pixels, (height, width), targets in zip(
        batch.images.pixels[:IMAGES], batch.images.sizes, batch.targets, strict=False
    ):
        rgb = preprocess.shown(pixels[:, :height, :width])
        pictures.append(draw_detections(rgb, Marks(targets.boxes.numpy(), targets.labels.numpy()), classes))
    save_image(file, contact_sheet(pictures, 4))


def draw_found(found: Pass, annotations: Annotations, file: Path) -> None:
    """The first images of the validation data, ground truth beside detections."""
    pairs = []
    for index in np.linspace(0, len(annotations) - 1, min(IMAGES, len(annotations))).astype(int).tolist():
        truth, prediction = annotations[index], found.predictions[index]
        if any(truth.file in line for line in found.unreadable):
            continue
        sure = prediction.scores >= SCORE
        pairs.append(
            draw_targets_beside(
                read_image(truth.file),
                Marks(truth.boxes, truth.labels),
                Marks(prediction.boxes[sure], prediction.labels[sure], prediction.scores[sure]),
                annotations.classes,
            )
        )
    if pairs:
        save_image(file, contact_sheet(pairs, 2))
