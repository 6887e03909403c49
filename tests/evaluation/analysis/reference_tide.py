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
class TideBox:
    """A detection or a box."""

    label: int
    sides: Sides
    score: float = 0.0
    ignore: bool = False
    image: int = 0
    matched: bool | None = False
    kind: str = ""
    about_object: TideBox | None = None
    fixed_by: TideBox | None = None


@dataclass
class ReferenceTide:
    """The errors of a data set."""

    found: list[TideBox] = field(default_factory=list)
    truth: list[TideBox] = field(default_factory=list)

    def ap(self, label: int, kind: str | None = None) -> float | None:
        """AP of a class in 0..1 without the errors of a kind; None where there was nothing to find."""
        objects = [t for t in self.truth if not t.ignore and t.label == label]
        if not objects:
            return None
        rows = []
        for d in self.found:
            if d.kind == kind:
                fixes = d.about_object is not None and d.about_object.fixed_by is d
                if fixes and d.about_object is not None and d.about_object.label == label:
                    rows.append((d.score, True))
            elif d.matched is not None and d.label == label:
                rows.append((d.score, bool(d.matched)))
        left = len(objects) - (sum(t.kind == "missed" for t in objects) if kind == "missed" else 0)
        return riemann(rows, left)

    def special(self, label: int) -> tuple[float, float]:
        """AP with false positives ranked last, and with false negatives not counted."""
        rows = [(d.score, bool(d.matched)) for d in self.found if d.matched is not None and d.label == label]
        objects = [t for t in self.truth if not t.ignore and t.label == label]
        ranked = [(float(true), true) for _, true in rows]
        return riemann(ranked, len(objects)), riemann(rows, sum(bool(t.matched) for t in objects))


def riemann(rows: list[tuple[float, bool]], positives: int) -> float:
    if positives == 0:
        return 0.0
    points = []
    true = 0
    for index, (_, is_true) in enumerate(sorted(rows, key=lambda row: -row[0]), 1):
        true += is_true
        points.append((true / positives, true / index))
    return sum(max((p for r, p in points if r >= n / 100), default=0.0) for n in range(101)) / 101


def reference_tide(annotations: Annotations, predictions: list[Prediction], limit: int) -> ReferenceTide:
    images = np.argsort(annotations.image_ids).tolist()
    result = ReferenceTide()
    for image in images:
        truth, found = _tide_boxes(annotations[image], predictions[image], image)
        ranked = sorted(found, key=lambda thing: -thing.score)[:limit]
        _assign_kinds(ranked, truth)
        result.truth += truth
        result.found += ranked
    result.found.sort(key=lambda thing: thing.label)
    return result


def _tide_boxes(image: ImageAnnotation, prediction: Prediction, image_file: int) -> tuple[list[TideBox], list[TideBox]]:
    truth = [
        TideBox(label, _sides(box), ignore=ignore, image=image_file)
        for label, box, ignore in zip(
            image.labels.tolist(), image.boxes.tolist(), (image.difficult | image.crowd).tolist(), strict=True
        )
    ]
    found = [
        TideBox(label, _sides(box), score, image=image_file)
        for label, box, score in zip(
            prediction.labels.tolist(), prediction.boxes.tolist(), prediction.scores.tolist(), strict=True
        )
    ]
    return sorted(truth, key=lambda thing: thing.label), sorted(found, key=lambda thing: thing.label)


def _assign_kinds(ranked: list[TideBox], truth: list[TideBox]) -> None:
    regular = [t for t in truth if not t.ignore]
    for d in ranked:
        free = [t for t in regular if t.label == d.label and not t.matched]
        if free and iou(d, best := max(free, key=lambda t: iou(d, t))) >= POSITIVE:
            d.matched = best.matched = True
    for region in truth:
        for d in ranked:
            if region.ignore and not d.matched and region.label == d.label and share(d, region) >= POSITIVE:
                d.matched = None
    for d in ranked:
        if not d.matched:
            d.kind, d.about_object = _kind(d, regular)
            if d.about_object is not None and not d.about_object.matched and d.about_object.fixed_by is None:
                d.about_object.fixed_by = d
    for t in regular:
        if not t.matched and t.fixed_by is None:
            t.kind = "missed"


def _kind(d: TideBox, regular: list[TideBox]) -> tuple[str, TideBox | None]:
    if not regular:
        return "background", None
    same_class = max(regular, key=lambda t: iou(d, t) * (t.label == d.label))
    same_class_iou = iou(d, same_class) * (same_class.label == d.label)
    if ABOUT <= same_class_iou <= POSITIVE:
        return "localisation", same_class
    other = max(regular, key=lambda t: iou(d, t) * (t.label != d.label))
    if iou(d, other) * (other.label != d.label) >= POSITIVE:
        return "classification", other
    if any(t.matched and t.label == d.label and iou(d, t) >= POSITIVE for t in regular):
        return "duplicate", None
    if max(iou(d, t) for t in regular) <= ABOUT:
        return "background", None
    return "both", None


def iou(a: TideBox, b: TideBox) -> float:
    shared = _shared(a.sides, b.sides)
    return shared / (_area(a.sides) + _area(b.sides) - shared) if shared else 0.0


def share(a: TideBox, region: TideBox) -> float:
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
