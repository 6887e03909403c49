"""Detections judged by one reading of average precision: what every analysis starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.assignment import TRUE, Pairs, assign, near_pairs
from detect.evaluation.columns import Case, Flags, Found, Places, Truth, as_coco_files, places_within
from detect.evaluation.predictions import Prediction, require_fit
from detect.evaluation.rules import COCO_AP, VOC07, VOC12, Rules
from detect.evaluation.score import Metric

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

METRIC_RULES: dict[Metric, Rules] = {"voc07": VOC07, "voc12": VOC12, "coco": COCO_AP}


@dataclass(frozen=True)
class Matches:
    """The D detections that the rules count, and what became of each.

    classes: K names; images (N,): the place in the data of each image of the case; sizes (N, 2): their height and width
    in pixels; outcome (D, T) int8: FALSE, TRUE or NEUTRAL at each of the rules' IoUs.
    """

    classes: tuple[str, ...]
    images: Places
    sizes: NDArray[np.int32]
    case: Case
    rules: Rules
    outcome: NDArray[np.int8]


def match(annotations: Annotations, predictions: Sequence[Prediction], rules: Rules) -> Matches:
    """Judge predictions, one an image in the annotations' order (``align`` makes them so).

    ValueError where the lengths differ.
    """
    require_fit(annotations, predictions)
    case = rules.layout(annotations, predictions).limited(rules.limit)
    by_id = rules.layout is as_coco_files
    images = np.argsort(annotations.image_ids) if by_id else np.arange(len(annotations))
    outcome = assign(case, case.truth.lenient[:, None], rules)[:, 0]
    return Matches(annotations.classes, images, annotations.sizes[images], case, rules, outcome)


def rankings(matches: Matches) -> list[Places]:
    """The detections of each class, best first: their places in the case. Equal scores rank by image, then as given."""
    scores = matches.case.found.scores
    of_class = matches.case.of_class(matches.case.found.groups)
    return [rows.start + np.argsort(-scores[rows], kind="stable") for rows in of_class]


def labels_of(case: Case, groups: Places) -> Places:
    """The class 1..K of each row of a column of groups."""
    return 1 + groups // max(case.images, 1)


def images_of(case: Case, groups: Places) -> Places:
    """The image of each row of a column of groups, as the case numbers them."""
    return groups % max(case.images, 1)


def taken_boxes(case: Case, outcome: NDArray[np.int8], rules: Rules) -> Places:
    """The place of the box that each true detection took, -1 for the others: (D,).

    outcome (D,): of ``assign`` at the first of the rules' IoUs, where the lenient boxes need not be found.
    """
    pairs = near_pairs(case, replace(rules, ious=rules.ious[:1]))
    pairs = pairs[(outcome[pairs.found] == TRUE) & ~case.truth.lenient[pairs.truth]]
    takers = np.unique(pairs.found)
    turn = np.zeros(len(outcome), np.int64)
    turn[takers] = places_within(case.found.groups[takers])
    ties = pairs.truth if rules.last_of_equals else -pairs.truth
    pairs = pairs[np.lexsort((ties, pairs.overlaps, turn[pairs.found]))]
    edges = np.searchsorted(turn[pairs.found], np.arange(turn.max(initial=0) + 2)).tolist()
    taken = np.full(len(outcome), -1)
    free = np.ones(len(case.truth.groups), bool)
    for start, end in pairwise(edges):
        choices = pairs[np.arange(start, end)]
        choices = choices[free[choices.truth]]
        taken[choices.found] = choices.truth  # the last write stays: the best overlap
        free[taken[choices.found]] = False
    return taken


def best_of_image(case: Case, limit: int) -> Case:
    """The case with the ``limit`` best detections of each image, whatever their class."""
    found = case.found
    images = images_of(case, found.groups)
    order = np.lexsort((-found.scores, images))
    kept = np.zeros(len(order), bool)
    kept[order] = places_within(images[order]) < limit
    return with_found(case, kept)


def with_found(case: Case, kept: Flags) -> Case:
    """The case with some of its detections; in each group these must be the best ones."""
    found = case.found
    chosen = Found(found.groups[kept], found.ranks[kept], found.boxes[kept], found.scores[kept])
    return replace(case, found=chosen)


@dataclass(frozen=True)
class Pooled:
    """A case whose classes are one, so that a group is an image.

    truth and found: the place in the first case of each box and detection.
    """

    case: Case
    truth: Places
    found: Places

    def pairs(self, rules: Rules) -> Pairs:
        """``near_pairs`` across classes, in places of the first case."""
        pairs = near_pairs(self.case, rules)
        return Pairs(self.found[pairs.found], self.truth[pairs.truth], pairs.overlaps)


def pooled(case: Case, chosen: Flags) -> Pooled:
    """The ``chosen`` (G,) boxes and all detections of a case without their classes."""
    truth, found = case.truth, case.found
    boxes = np.flatnonzero(chosen)
    boxes = boxes[np.argsort(images_of(case, truth.groups[boxes]), kind="stable")]
    images = images_of(case, found.groups)
    order = np.lexsort((-found.scores, images))
    groups = images[order]
    one = Case(
        images=case.images,
        classes=1,
        truth=Truth(images_of(case, truth.groups[boxes]), truth.boxes[boxes], truth.areas[boxes], truth.lenient[boxes]),
        found=Found(groups, places_within(groups), found.boxes[order], found.scores[order]),
    )
    return Pooled(one, boxes, order)
