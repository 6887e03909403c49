"""py-faster-rcnn's pascal_voc.py and voc_eval.py, step by step and slowly: lines of a result file, then their AP."""

from __future__ import annotations

import math

import numpy as np

from detect.data.annotations import Annotations
from detect.evaluation.predictions import Prediction

Line = tuple[int, float, list[float]]  # image, confidence, 1-based inclusive corners


def result_lines(predictions: list[Prediction], label: int, rounded: bool) -> list[Line]:
    """What the result file of a class says, read back."""
    lines = []
    for image, prediction in enumerate(predictions):
        for box, score, mine in zip(prediction.boxes, prediction.scores, prediction.labels, strict=True):
            if mine != label:
                continue
            corners = [float(box[0]) + 1, float(box[1]) + 1, float(box[2]), float(box[3])]
            if rounded:
                corners = [float(f"{corner:.1f}") for corner in corners]
            lines.append((image, float(f"{score:.3f}") if rounded else float(score), corners))
    return lines


def voc_eval(annotations: Annotations, lines: list[Line], label: int) -> float | None:
    """AP of a class by its VOC07 metric; None where nothing is to be found (there it divides by zero)."""
    boxes: list[list[list[float]]] = []
    difficult: list[list[bool]] = []
    for i in range(len(annotations)):
        image = annotations[i]
        rows = [j for j in range(len(image.labels)) if image.labels[j] == label]
        boxes.append([[b[0] + 1, b[1] + 1, b[2], b[3]] for b in image.boxes[rows].tolist()])
        difficult.append([bool(image.difficult[j] or image.crowd[j]) for j in rows])
    npos = sum(not flag for flags in difficult for flag in flags)
    if npos == 0:
        return None
    detected = [[False] * len(flags) for flags in difficult]
    tps = fps = 0
    rec, prec = [], []
    for image_index, _, bb in sorted(lines, key=lambda line: -line[1]):
        overlaps = [_overlap(bb, bbgt) for bbgt in boxes[image_index]]
        ovmax = max(overlaps, default=-math.inf)
        if ovmax > 0.5:
            jmax = overlaps.index(ovmax)
            if not difficult[image_index][jmax]:
                if detected[image_index][jmax]:
                    fps += 1
                else:
                    tps += 1
                    detected[image_index][jmax] = True
        else:
            fps += 1
        rec.append(tps / npos)
        prec.append(tps / max(tps + fps, np.finfo(np.float64).eps))
    ap = 0.0
    for t in np.arange(0.0, 1.1, 0.1):
        ap += max((p for r, p in zip(rec, prec, strict=True) if r >= t), default=0.0) / 11
    return ap


def _overlap(a: list[float], b: list[float]) -> float:
    iw = max(min(a[2], b[2]) - max(a[0], b[0]) + 1, 0.0)
    ih = max(min(a[3], b[3]) - max(a[1], b[1]) + 1, 0.0)
    union = (a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - iw * ih
    return iw * ih / union
