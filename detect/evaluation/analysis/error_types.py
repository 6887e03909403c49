"""TIDE's kinds of error: one for each detection that is not true and for each object that nothing explains.

Bolya, Foley, Hays and Hoffman 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors", section 2.2;
what the paper leaves open is as in its package, tidecv 1.0.1. A detection looks at the boxes that must be found, of all
classes: 0.5 is the least IoU of a match, 0.1 that of being about an object at all (t_f and t_b there). Difficult boxes
and crowds are its ignore regions; to lie in one by exactly half is enough, as COCO has it (there: by more).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.matches import best_of_image, labels_of, pooled, taken_boxes
from detect.evaluation.assignment import FALSE, TRUE, Pairs, assign
from detect.evaluation.columns import Case, Flags, Floats, Places
from detect.evaluation.predictions import Prediction, require_fit
from detect.evaluation.rules import COCO_AP50, Rules

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(len(KINDS))
NO_ERROR = -1

TIDE = replace(COCO_AP50, recall_grid=tuple(n / 100 for n in range(101)), last_of_equals=False)
LIMIT = 100  # detections of an image that count, of all classes together


@dataclass(frozen=True)
class Errors:
    """What is wrong with each of D detections and G boxes.

    images (N,): the place in the data of each image of the case, which holds the detections that count; outcome (D,)
    int8: FALSE, TRUE or NEUTRAL; kinds (D,) int8: a place in KINDS, NO_ERROR for true detections. (A neutral one, on a
    difficult box, has a kind too: as TIDE counts, it would find an object if it were right about it. ``counts`` leaves
    it out.) meant (D,): the box that a classification or localisation error is about, -1 for others; correctable (D,):
    whether it would be true without the error: that box is free, and no better-scored error means it; found (G,): taken
    by a true detection; missed (G,): to be found, not found, and no error is about it.
    """

    classes: tuple[str, ...]
    images: Places
    case: Case
    outcome: NDArray[np.int8]
    kinds: NDArray[np.int8]
    meant: Places
    correctable: Flags
    found: Flags
    missed: Flags

    @property
    def counts(self) -> dict[str, int]:
        """How many false detections and missed boxes there are, by the names in KINDS."""
        counts = np.bincount(self.kinds[self.outcome == FALSE], minlength=len(KINDS))
        counts[MISSED] = self.missed.sum()
        return dict(zip(KINDS, counts.tolist(), strict=True))


def find_errors(
    annotations: Annotations, predictions: Sequence[Prediction], iou: float = 0.5, background: float = 0.1
) -> Errors:
    """Kinds of error of predictions, one an image in the annotations' order (``align`` makes them so).

    The best 100 detections of each image count. ValueError where the lengths differ.
    """
    require_fit(annotations, predictions)
    rules = replace(TIDE, ious=(iou,))
    case = best_of_image(rules.layout(annotations, predictions), LIMIT)
    regular = ~case.truth.lenient
    outcome = assign(case, case.truth.lenient[:, None], rules)[:, 0, 0]
    taken = taken_boxes(case, outcome, rules)
    found = np.zeros(len(regular), bool)
    found[taken[taken >= 0]] = True
    kinds, meant = _kinds(case, outcome, _near(case, outcome, background), iou, background)
    correctable = _correctable(case, meant, found)
    missed = regular & ~found
    missed[meant[meant >= 0]] = False
    images = np.argsort(annotations.image_ids)
    return Errors(annotations.classes, images, case, outcome, kinds, meant, correctable, found, missed)


def _near(case: Case, outcome: NDArray[np.int8], background: float) -> Pairs:
    """Detections that are not true, beside every box of any class that must be found and that they are about."""
    pairs = pooled(case, ~case.truth.lenient).pairs(Rules(ious=(background,)))
    return pairs[outcome[pairs.found] != TRUE]


def _kinds(
    case: Case, outcome: NDArray[np.int8], near: Pairs, iou: float, background: float
) -> tuple[NDArray[np.int8], Places]:
    """The kind of each detection, and the box it is about: the tests in the order of the package."""
    same = labels_of(case, case.truth.groups[near.truth]) == labels_of(case, case.found.groups[near.found])
    own, own_box = _best(near[same], len(outcome))
    other, other_box = _best(near[~same], len(outcome))
    tests = [  # the first that holds decides
        (outcome == TRUE, NO_ERROR),
        ((background <= own) & (own <= iou), LOCALISATION),
        (other >= iou, CLASSIFICATION),
        (own >= iou, DUPLICATE),
        (np.maximum(own, other) <= background, BACKGROUND),
    ]
    kinds = np.select([holds for holds, _ in tests], [kind for _, kind in tests], BOTH).astype(np.int8)
    meant = np.select([kinds == LOCALISATION, kinds == CLASSIFICATION], [own_box, other_box], -1)
    return kinds, meant


def _best(pairs: Pairs, count: int) -> tuple[Floats, Places]:
    """The highest overlap of each detection and the first box that has it; 0 and -1 where there is none."""
    order = np.lexsort((-pairs.truth, pairs.overlaps, pairs.found))
    overlaps, boxes = np.zeros(count), np.full(count, -1)
    overlaps[pairs.found[order]] = pairs.overlaps[order]  # the last write stays
    boxes[pairs.found[order]] = pairs.truth[order]
    return overlaps, boxes


def _correctable(case: Case, meant: Places, found: Flags) -> Flags:
    """Of the errors about a box that was not found the best-scored one, the first of equals."""
    about = np.flatnonzero(meant >= 0)
    about = about[~found[meant[about]]]
    ranked = about[np.argsort(-case.found.scores[about], kind="stable")]
    _, first = np.unique(meant[ranked], return_index=True)
    correctable = np.zeros(len(meant), bool)
    correctable[ranked[first]] = True
    return correctable
