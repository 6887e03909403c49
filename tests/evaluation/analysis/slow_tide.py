"""TIDE as tidecv 1.0.1 does it: image by image, detection by detection, with the same tests in the same order.

Other than there the mean goes over classes that have something to find, also when nothing of it is left; the order of
equal scores is ours; and lying in a difficult box by exactly half is enough, as COCO has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation
from detect.evaluation.predictions import Prediction

Sides = tuple[float, float, float, float]  # x y width height
POSITIVE, ABOUT = 0.5, 0.1


@dataclass
class Thing:
    """A detection or a box."""

    label: int
    sides: Sides
    score: float = 0.0
    ignore: bool = False
    image: int = 0
    used: bool | None = False
    kind: str = ""
    meant: Thing | None = None
    mended_by: Thing | None = None


@dataclass
class SlowTide:
    """Everything that was found out."""

    found: list[Thing] = field(default_factory=list)
    truth: list[Thing] = field(default_factory=list)

    def ap(self, label: int, kind: str | None = None) -> float | None:
        """AP of a class in 0..1 without the errors of a kind; None where there was nothing to find."""
        objects = [t for t in self.truth if not t.ignore and t.label == label]
        if not objects:
            return None
        rows = []
        for d in self.found:
            if d.kind == kind:
                mends = d.meant is not None and d.meant.mended_by is d
                if mends and d.meant is not None and d.meant.label == label:
                    rows.append((d.score, True))
            elif d.used is not None and d.label == label:
                rows.append((d.score, bool(d.used)))
        left = len(objects) - (sum(t.kind == "missed" for t in objects) if kind == "missed" else 0)
        return riemann(rows, left)

    def special(self, label: int) -> tuple[float, float]:
        """AP with false positives ranked last, and with false negatives not asked for."""
        rows = [(d.score, bool(d.used)) for d in self.found if d.used is not None and d.label == label]
        objects = [t for t in self.truth if not t.ignore and t.label == label]
        ranked = [(float(true), true) for _, true in rows]
        return riemann(ranked, len(objects)), riemann(rows, sum(bool(t.used) for t in objects))


def riemann(rows: list[tuple[float, bool]], positives: int) -> float:
    if positives == 0:
        return 0.0
    points = []
    true = 0
    for place, (_, is_true) in enumerate(sorted(rows, key=lambda row: -row[0]), 1):
        true += is_true
        points.append((true / positives, true / place))
    return sum(max((p for r, p in points if r >= n / 100), default=0.0) for n in range(101)) / 101


def slow_tide(annotations: Annotations, predictions: list[Prediction], limit: int) -> SlowTide:
    images = np.argsort(annotations.image_ids).tolist()
    result = SlowTide()
    for image in images:
        truth, found = _things(annotations[image], predictions[image], image)
        ranked = sorted(found, key=lambda thing: -thing.score)[:limit]
        _judge(ranked, truth)
        result.truth += truth
        result.found += ranked
    result.found.sort(key=lambda thing: thing.label)
    return result


def _things(image: ImageAnnotation, prediction: Prediction, image_file: int) -> tuple[list[Thing], list[Thing]]:
    truth = [
        Thing(label, _sides(box), ignore=ignore, image=image_file)
        for label, box, ignore in zip(
            image.labels.tolist(), image.boxes.tolist(), (image.difficult | image.crowd).tolist(), strict=True
        )
    ]
    found = [
        Thing(label, _sides(box), score, image=image_file)
        for label, box, score in zip(
            prediction.labels.tolist(), prediction.boxes.tolist(), prediction.scores.tolist(), strict=True
        )
    ]
    return sorted(truth, key=lambda thing: thing.label), sorted(found, key=lambda thing: thing.label)


def _judge(ranked: list[Thing], truth: list[Thing]) -> None:
    regular = [t for t in truth if not t.ignore]
    for d in ranked:
        free = [t for t in regular if t.label == d.label and not t.used]
        if free and iou(d, best := max(free, key=lambda t: iou(d, t))) >= POSITIVE:
            d.used = best.used = True
    for region in truth:
        for d in ranked:
            if region.ignore and not d.used and region.label == d.label and share(d, region) >= POSITIVE:
                d.used = None
    for d in ranked:
        if not d.used:
            d.kind, d.meant = _kind(d, regular)
            if d.meant is not None and not d.meant.used and d.meant.mended_by is None:
                d.meant.mended_by = d
    for t in regular:
        if not t.used and t.mended_by is None:
            t.kind = "missed"


def _kind(d: Thing, regular: list[Thing]) -> tuple[str, Thing | None]:
    if not regular:
        return "background", None
    own = max(regular, key=lambda t: iou(d, t) * (t.label == d.label))
    own_iou = iou(d, own) * (own.label == d.label)
    if ABOUT <= own_iou <= POSITIVE:
        return "localisation", own
    other = max(regular, key=lambda t: iou(d, t) * (t.label != d.label))
    if iou(d, other) * (other.label != d.label) >= POSITIVE:
        return "classification", other
    if any(t.used and t.label == d.label and iou(d, t) >= POSITIVE for t in regular):
        return "duplicate", None
    if max(iou(d, t) for t in regular) <= ABOUT:
        return "background", None
    return "both", None


def iou(a: Thing, b: Thing) -> float:
    shared = _shared(a.sides, b.sides)
    return shared / (_area(a.sides) + _area(b.sides) - shared) if shared else 0.0


def share(a: Thing, region: Thing) -> float:
    shared = _shared(a.sides, region.sides)
    return shared / _area(a.sides) if shared else 0.0


def _shared(a: Sides, b: Sides) -> float:
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(w, 0.0) * max(h, 0.0)


def _area(sides: Sides) -> float:
    return sides[2] * sides[3]


def _sides(box: list[float]) -> Sides:
    return box[0], box[1], box[2] - box[0], box[3] - box[1]
