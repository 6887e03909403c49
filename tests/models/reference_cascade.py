"""Cascade R-CNN once more, in plain Python: one box after the other, with formulas of the paper and of detectron2."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detect.types import Targets

Box = Sequence[float]


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def move(box: Box, deltas: Sequence[float], weights: Sequence[float], size: tuple[int, int]) -> list[float]:
    """Return a box moved by deltas that are divided by ``weights``, as detectron2's Box2BoxTransform, and clipped."""
    width, height = box[2] - box[0], box[3] - box[1]
    dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas, weights, strict=True))
    x, y = box[0] + width / 2 + dx * width, box[1] + height / 2 + dy * height
    width, height = (side * math.exp(min(d, math.log(1000 / 16))) for side, d in ((width, dw), (height, dh)))
    edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return [min(max(edge, 0.0), limit) for edge, limit in zip(edges, (size[1], size[0]) * 2, strict=True)]


def target_deltas(box: Box, target: Box, weights: Sequence[float]) -> list[float]:
    """Return the deltas that move ``box`` onto ``target``."""
    width, height = box[2] - box[0], box[3] - box[1]
    target_width, target_height = target[2] - target[0], target[3] - target[1]
    dx = (target[0] + target[2] - box[0] - box[2]) / 2 / width
    dy = (target[1] + target[3] - box[1] - box[3]) / 2 / height
    deltas = (dx, dy, math.log(target_width / width), math.log(target_height / height))
    return [delta * weight for delta, weight in zip(deltas, weights, strict=True)]


def match(boxes: Sequence[Box], targets: Sequence[Box], iou: float) -> list[int | None]:
    """Return the index of the target of each box; None for background."""
    matches: list[int | None] = []
    for box in boxes:
        overlaps = [overlap(box, target) for target in targets]
        best = max(range(len(targets)), key=overlaps.__getitem__, default=None)
        matches.append(best if best is not None and overlaps[best] >= iou else None)
    return matches


def match_images(
    boxes: Sequence[Sequence[Box]], truth: Sequence[Targets], iou: float
) -> tuple[list[int], list[Box | None]]:
    """Return the label and the target of each box of all images; 0 and None for background."""
    labels: list[int] = []
    matched: list[Box | None] = []
    for rows, targets in zip(boxes, truth, strict=True):
        target_boxes, target_labels = targets.boxes.tolist(), targets.labels.tolist()
        for index in match(rows, target_boxes, iou):
            labels.append(0 if index is None else target_labels[index])
            matched.append(None if index is None else target_boxes[index])
    return labels, matched


def deltas_of(
    logits: Sequence[Sequence[float]], deltas: Sequence[Sequence[Sequence[float]]], labels: Sequence[int]
) -> tuple[list[Sequence[float]], list[Sequence[float]]]:
    """Return the deltas whose loss is computed, of the true class, and those that move each box to the next stage.

    They are the same but for background, which has no loss and is moved as the class with the highest logit.
    """
    own, moving = [], []
    for row, row_deltas, label in zip(logits, deltas, labels, strict=True):
        best = max(range(1, len(row)), key=row.__getitem__)
        shared = len(row_deltas) == 1
        own.append(row_deltas[0 if shared else max(label - 1, 0)])
        moving.append(row_deltas[0 if shared else (label or best) - 1])
    return own, moving


def softmax(logits: Sequence[float]) -> list[float]:
    """Return the probability of each logit."""
    powers = [math.exp(logit - max(logits)) for logit in logits]
    return [power / sum(powers) for power in powers]


def stage_losses(
    logits: Sequence[Sequence[float]],
    deltas: Sequence[Sequence[float]],
    boxes: Sequence[Box],
    labels: Sequence[int],
    matched: Sequence[Box | None],
    weights: Sequence[float],
) -> tuple[float, float]:
    """Return the mean cross-entropy of all boxes, and the smooth L1 loss (beta 1) of their shared deltas."""
    class_loss = box_loss = 0.0
    for box_logits, box_deltas, box, label, target in zip(logits, deltas, boxes, labels, matched, strict=True):
        class_loss -= math.log(softmax(box_logits)[label])
        if target is not None:
            for delta, expected in zip(box_deltas, target_deltas(box, target, weights), strict=True):
                error = abs(delta - expected)
                box_loss += error**2 / 2 if error < 1 else error - 0.5
    return class_loss / len(boxes), box_loss / len(boxes)
