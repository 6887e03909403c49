"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.matches import labels_of, pooled, taken_boxes, with_found
from detect.evaluation.assignment import FALSE, NEUTRAL, assign
from detect.evaluation.columns import as_given
from detect.evaluation.predictions import Prediction, require_fit
from detect.evaluation.rules import COCO_AP50

if TYPE_CHECKING:
    from detect.data.annotations import Annotations


@dataclass(frozen=True)
class Confusion:
    """counts (K + 1, K + 1) int64: objects of the row's label that were found as the column's.

    Label 0 is background: the first row counts detections on nothing, the first column objects that were not found. A
    row adds up to the objects of a class, a column to its detections; those on difficult boxes and crowds of their own
    class are left out, and so are these boxes.
    """

    classes: tuple[str, ...]
    score: float
    iou: float
    counts: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """The fields, the counts as lists of rows."""
        return {"classes": self.classes, "score": self.score, "iou": self.iou, "counts": self.counts.tolist()}


def confusion(
    annotations: Annotations, predictions: Sequence[Prediction], score: float = 0.5, iou: float = 0.5
) -> Confusion:
    """Match the detections of at least ``score`` to boxes whatever their classes, one box each at ``iou`` or more.

    In each image the detections choose in the order of their scores, each the free box it overlaps most. predictions:
    one an image in the annotations' order (``align`` makes them so); ValueError where the lengths differ.
    """
    require_fit(annotations, predictions)
    case = as_given(annotations, predictions)
    case = with_found(case, case.found.scores >= score)
    rules = replace(COCO_AP50, ious=(iou,))
    excused = assign(case, case.truth.lenient[:, None], rules)[:, 0, 0] == NEUTRAL
    one = pooled(case, ~case.truth.lenient)
    outcome = assign(one.case, np.zeros((len(one.truth), 1), bool), rules)[:, 0, 0]
    taken = taken_boxes(one.case, outcome, rules)
    hits = np.flatnonzero(taken >= 0)
    truth, found = labels_of(case, case.truth.groups), labels_of(case, case.found.groups)
    missed = ~case.truth.lenient
    missed[one.truth[taken[hits]]] = False
    wrong = one.found[outcome == FALSE]
    labels = case.classes + 1
    counts = np.zeros((labels, labels), np.int64)
    np.add.at(counts, (truth[one.truth[taken[hits]]], found[one.found[hits]]), 1)
    counts[0] = np.bincount(found[wrong[~excused[wrong]]], minlength=labels)
    counts[:, 0] = np.bincount(truth[missed], minlength=labels)
    return Confusion(annotations.classes, score, iou, counts)
