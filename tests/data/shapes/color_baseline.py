"""A detector that learns no shapes: color thresholds, connected components, and a nearest-mean classifier.

It is a fair attempt: two thresholds, components grown from seeds all over the image, an objectness (naive Bayes on
size, fill, contrast and steadiness between thresholds) and classes distinguished by mean color, size and proportion,
both learned on the train split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from detect.data.shapes.dataset import CLASSES, Scene

_TOLERANCES = (14, 26)  # a component's pixels differ from its seed by no more, in each of R, G and B
_SEED_STEP = 10  # pixels
_EDGES = (  # of the bins that objectness is counted in: log area, fill, contrast, steadiness
    np.linspace(4, 9, 7),
    np.linspace(0.3, 0.9, 6),
    np.linspace(10, 110, 6),
    np.linspace(0.3, 0.95, 5),
)


@dataclass(frozen=True)
class Component:
    """box x1 y1 x2 y2; color (3,), the mean; cues (4,): log area, fill of its box, distance of its color from that
    around it, best IoU with a component of another threshold."""

    box: np.ndarray
    color: np.ndarray
    cues: np.ndarray


@dataclass(frozen=True)
class Baseline:
    """odds: of each cue, the log ratio of objects to others in each bin; means (K, F), spread (F,) of the features."""

    odds: tuple[np.ndarray, ...]
    means: np.ndarray
    spread: np.ndarray


def components(rgb: np.ndarray) -> list[Component]:
    """Return regions of nearly one color, no side under 10 pixels, not larger than half of the image."""
    smooth = cv2.bilateralFilter(rgb, 5, 30, 3)
    grown = [_grow_components(smooth, tolerance) for tolerance in _TOLERANCES]
    boxes = [np.array([box for box, _ in grown_parts], np.float64).reshape(-1, 4) for grown_parts in grown]
    components_by_box: dict[tuple[int, ...], Component] = {}
    for grown_parts, others in zip(grown, reversed(boxes), strict=True):
        for box, mask in grown_parts:
            steadiness = _iou(np.array(box, np.float64), others).max(initial=0)
            components_by_box[box] = _component(smooth, box, mask, steadiness)
    return list(components_by_box.values())


def _grow_components(smooth: np.ndarray, tolerance: int) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Return the box and mask (h, w) of each component."""
    height, width = smooth.shape[:2]
    filled = np.zeros((height + 2, width + 2), np.uint8)
    grown: list[tuple[tuple[int, ...], np.ndarray]] = []
    for y in range(_SEED_STEP // 2, height, _SEED_STEP):
        for x in range(_SEED_STEP // 2, width, _SEED_STEP):
            if filled[y + 1, x + 1]:
                continue
            mask = np.zeros_like(filled)
            flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
            margin = (tolerance,) * 3
            area, _, _, (left, top, w, h) = cv2.floodFill(smooth, mask, (x, y), 0, margin, margin, flags)
            mask[[0, -1]] = mask[:, [0, -1]] = 0  # floodFill frames its mask
            filled |= mask
            if area > 60 and min(w, h) >= 10 and w * h < 0.5 * width * height:
                grown.append(((left, top, left + w, top + h), mask[1:-1, 1:-1]))
    return grown


def _component(smooth: np.ndarray, box: tuple[int, ...], mask: np.ndarray, steadiness: float) -> Component:
    x1, y1, x2, y2 = box
    rows, columns = slice(max(y1 - 4, 0), y2 + 4), slice(max(x1 - 4, 0), x2 + 4)
    near, inside = smooth[rows, columns].astype(np.float32), np.ascontiguousarray(mask[rows, columns])
    around = cv2.dilate(inside, np.ones((7, 7), np.uint8)) - cv2.dilate(inside, np.ones((3, 3), np.uint8))
    color = near[inside > 0].mean(axis=0)
    contrast = np.linalg.norm(near[around > 0] - color, axis=1).mean() if around.any() else 0.0
    area = (x2 - x1) * (y2 - y1)
    cues = np.array([np.log(area), np.count_nonzero(inside) / area, contrast, steadiness])
    return Component(np.array(box, np.float64), color, cues)


def fit(scenes: Sequence[Scene]) -> Baseline:
    """Learn from some scenes which components are objects (IoU >= 0.5), and the features of each class."""
    parts, labels = [], []
    for scene in scenes:
        for part in components(scene.rgb):
            overlaps = _iou(part.box, scene.boxes)
            parts.append(part)
            labels.append(int(scene.labels[overlaps.argmax()]) if overlaps.max(initial=0) >= 0.5 else 0)
    part_labels, cues, features = (
        np.array(labels),
        np.array([part.cues for part in parts]),
        np.array([*map(_features, parts)]),
    )
    odds = []
    for edges, cue in zip(_EDGES, cues.T, strict=True):
        bins = np.searchsorted(edges, cue)
        objects, others = (
            1 + np.bincount(bins[selection], minlength=len(edges) + 1)
            for selection in (part_labels > 0, part_labels == 0)
        )
        odds.append(np.log(objects / objects.sum()) - np.log(others / others.sum()))
    means = np.array([features[part_labels == label].mean(axis=0) for label in range(1, len(CLASSES) + 1)])
    return Baseline(tuple(odds), means, features[part_labels > 0].std(axis=0))


def objectness(baseline: Baseline, part: Component) -> float:
    """Return how likely a component is an object, 0..1."""
    bins = (np.searchsorted(edges, cue) for edges, cue in zip(_EDGES, part.cues, strict=True))
    evidence = sum(float(odds[i]) for odds, i in zip(baseline.odds, bins, strict=True))
    return float(1 / (1 + np.exp(-evidence)))


def detect(baseline: Baseline, rgb: np.ndarray, image_id: int) -> list[dict[str, Any]]:
    """Return COCO results of one image; a component suppresses others that it overlaps."""
    parts = sorted(components(rgb), key=lambda part: -objectness(baseline, part))
    boxes = np.array([part.box for part in parts]).reshape(-1, 4)
    selected: list[Component] = []
    available = np.ones(len(parts), bool)
    for i, part in enumerate(parts):
        if available[i]:
            selected.append(part)
            available &= _iou(part.box, boxes) < 0.5
    return [result for part in selected for result in _results(baseline, part, image_id)]


def _results(baseline: Baseline, part: Component, image_id: int) -> list[dict[str, Any]]:
    """The component as each class, scored by objectness times how near the class's mean features are."""
    near = np.exp(-0.5 * (((_features(part) - baseline.means) / baseline.spread) ** 2).sum(axis=1))
    scores = objectness(baseline, part) * near / max(near.sum(), 1e-12)
    x1, y1, x2, y2 = part.box.tolist()
    return [
        {
            "image_id": image_id,
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(scores[label - 1]),
        }
        for label in range(1, len(CLASSES) + 1)
    ]


def _features(part: Component) -> np.ndarray:
    """Return mean color, log size and log proportion: (5,)."""
    width, height = part.box[2:] - part.box[:2]
    return np.array([*part.color, np.log(width * height), abs(np.log(width / height))])


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU (n,) of one box with n others."""
    overlap = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(overlap, 0, None).prod(axis=1)
    return np.asarray(shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared))
