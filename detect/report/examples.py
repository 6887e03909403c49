"""Which images show best what a detector gets wrong, and what it gets right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.error_types import KINDS, MISSED, TIDE, Errors
from detect.evaluation.analysis.matches import images_of, labels_of, taken_boxes
from detect.evaluation.assignment import FALSE
from detect.evaluation.columns import Flags, Floats, Places, places_within

WORST, BEST = "worst images", "best images"
_WHOLE_IMAGES = 12  # of each


@dataclass(frozen=True)
class Example:
    """kind: of error, or WORST or BEST; image: its place in the data; found and truth: the detection and the object
    that it is about, places in the errors' case, -1 for none; label: its class, 0 for a whole image.
    """

    kind: str
    image: int
    label: int
    found: int = -1
    truth: int = -1


@dataclass(frozen=True)
class Judged:
    """The errors' case with each class cut off at its own threshold.

    of_found (D,) and of_truth (G,): the image of each row, its place in the data; kept (D,): at the threshold or above;
    taken (G,): the object is found by a detection that is kept.
    """

    errors: Errors
    of_found: Places
    of_truth: Places
    kept: Flags
    taken: Flags


def judge(errors: Errors, thresholds: Mapping[str, float]) -> Judged:
    """thresholds: the least score that is kept, by class."""
    case = errors.case
    least = np.array([thresholds[name] for name in errors.classes])
    kept = case.found.scores >= least[labels_of(case, case.found.groups) - 1]
    boxes = taken_boxes(case, errors.outcome, TIDE)[kept]
    taken = np.zeros(len(case.truth.groups), bool)
    taken[boxes[boxes >= 0]] = True
    of_found, of_truth = (errors.images[images_of(case, groups)] for groups in (case.found.groups, case.truth.groups))
    return Judged(errors, of_found, of_truth, kept, taken)


def tallies(judged: Judged) -> tuple[NDArray[np.int64], ...]:
    """Of each image (N,): objects found, false detections, objects missed, at the thresholds."""
    images = len(judged.errors.images)
    false = judged.kept & (judged.errors.outcome == FALSE)
    missed = ~judged.errors.case.truth.lenient & ~judged.taken
    rows = judged.of_truth[judged.taken], judged.of_found[false], judged.of_truth[missed]
    return tuple(np.bincount(places, minlength=images) for places in rows)


def whole_images(judged: Judged) -> list[Example]:
    """Those with most errors, and of those without any those with most objects found."""
    found, false, missed = tallies(judged)
    wrong = false + missed
    worst = [image for image in np.argsort(-wrong, kind="stable").tolist() if wrong[image]]
    best = [image for image in np.argsort(-found, kind="stable").tolist() if found[image] and not wrong[image]]
    chosen = ((WORST, worst[:_WHOLE_IMAGES]), (BEST, best[:_WHOLE_IMAGES]))
    return [Example(kind, image, 0) for kind, images in chosen for image in images]


def error_examples(judged: Judged, most: int) -> list[Example]:
    """At most ``most`` errors, so ordered that the first n show each kind equally often, and of a kind each class: the
    surest of every class first, then the second of every class. Of missed objects the largest come first.

    False detections below their class's threshold (or 0.5, where that is higher) nobody would see: they are left out.
    """
    errors, case = judged.errors, judged.errors.case
    false = np.flatnonzero((errors.outcome == FALSE) & (judged.kept | (case.found.scores >= 0.5)))
    missed = np.flatnonzero(errors.missed)
    kinds = np.concatenate([errors.kinds[false], np.full(len(missed), MISSED)])
    labels = np.concatenate(
        [labels_of(case, case.found.groups[false]), labels_of(case, case.truth.groups[missed])]
    ).astype(np.int64)
    weight = np.concatenate([case.found.scores[false], case.truth.areas[missed]])
    turn = _turns(kinds * (len(errors.classes) + 1) + labels, weight, np.zeros(len(weight)))
    order = np.lexsort((kinds, _turns(kinds, weight, turn)))[:most]
    return [
        Example(KINDS[kinds[place]], int(judged.of_found[row]), int(labels[place]), row, int(errors.meant[row]))
        if place < len(false)
        else Example(KINDS[MISSED], int(judged.of_truth[row]), int(labels[place]), truth=row)
        for place, row in zip(order.tolist(), np.concatenate([false, missed])[order].tolist(), strict=True)
    ]


def _turns(groups: Places, weight: Floats, before: Floats | Places) -> Places:
    """The place of each row in its group, from 0: by ``before``, then the heaviest first."""
    order = np.lexsort((-weight, before, groups))
    turns = np.zeros(len(groups), np.int64)
    turns[order] = places_within(groups[order])
    return turns
