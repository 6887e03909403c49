"""Average precision by a record of Rules, computed by plain loops over detections and boxes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation
from detect.evaluation.columns import as_coco_files
from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import Rules

Box = list[float]
Outcome = tuple[float, str]  # score; "true", "false" or "nothing"


def reference_ap(annotations: Annotations, predictions: list[Prediction], label: int, rules: Rules) -> float | None:
    """AP of one class."""
    aps = [_ap_at(annotations, predictions, label, rules, iou) for iou in rules.ious]
    known = [ap for ap in aps if ap is not None]
    return sum(known) / len(known) if known else None


def _ap_at(
    annotations: Annotations, predictions: list[Prediction], label: int, rules: Rules, iou: float
) -> float | None:
    images = list(range(len(annotations)))
    if rules.layout is as_coco_files:
        images.sort(key=lambda index: int(annotations.image_ids[index]))
    outcomes: list[Outcome] = []
    positives = 0
    for index in images:
        image = annotations[index]
        outcomes += _outcomes(image, predictions[index], label, rules, iou)
        positives += int(((image.labels == label) & ~image.difficult & ~image.crowd).sum())
    if positives == 0:
        return None
    points = [(0.0, 0.0)]
    true = false = 0
    for _, outcome in sorted(outcomes, key=lambda entry: -entry[0]):
        true, false = true + (outcome == "true"), false + (outcome == "false")
        if true + false:
            points.append((true / positives, true / (true + false)))
    if rules.recall_grid is not None:
        at_grid = [max((p for r, p in points if r >= t), default=0.0) for t in rules.recall_grid]
        return sum(at_grid) / len(at_grid)
    steps = sorted({r for r, _ in points})
    return sum((b - a) * max(p for r, p in points if r >= b) for a, b in pairwise(steps))


def _outcomes(image: ImageAnnotation, prediction: Prediction, label: int, rules: Rules, iou: float) -> list[Outcome]:
    boxes = [row for row in range(len(image.labels)) if image.labels[row] == label]
    lenient = {row: bool(image.difficult[row] or image.crowd[row]) for row in boxes}
    mine = sorted(
        (row for row in range(len(prediction)) if prediction.labels[row] == label),
        key=lambda row: -prediction.scores[row],
    )
    taken: set[int] = set()
    outcomes = []
    for detection in mine[: rules.limit]:
        best, best_worth = None, None
        for row in boxes:
            inside = rules.ioa_with_ignored and lenient[row]
            overlap = _overlap(prediction.boxes[detection].tolist(), image.boxes[row].tolist(), inside)
            if not rules.match(overlap, iou) or (rules.rematch_if_taken and row in taken and not lenient[row]):
                continue
            worth = (rules.prefer_counted and not lenient[row], overlap, row if rules.last_on_ties else -row)
            if best_worth is None or worth > best_worth:
                best, best_worth = row, worth
        if best is None or (best in taken and not lenient[best]):
            outcome = "false"
        else:
            outcome = "nothing" if lenient[best] else "true"
            taken.add(best)
        outcomes.append((float(prediction.scores[detection]), outcome))
    return outcomes


def _overlap(a: Box, b: Box, inside: bool) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1])
    return float(np.float64(w * h) / (area if inside else area + (b[2] - b[0]) * (b[3] - b[1]) - w * h))
