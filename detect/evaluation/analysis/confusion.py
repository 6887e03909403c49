"""Confusion matrix: how often objects of one class are detected as another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.matches import class_agnostic, labels_of, matched_objects, with_detections
from detect.evaluation.assignment import FALSE_POSITIVE, IGNORED, assign
from detect.evaluation.columns import as_is
from detect.evaluation.predictions import Prediction, require_aligned
from detect.evaluation.rules import COCO_AP50

if TYPE_CHECKING:
    from detect.data.annotations import Annotations


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix: counts (K + 1, K + 1) int64, objects of the row's label detected as the column's.

    Label 0 is background: the first row counts detections on background, the first column objects that were not
    detected. A row adds up to the objects of a class, a column to its detections. Detections on difficult boxes and
    crowds of their own class are left out, and so are these boxes.
    """

    classes: tuple[str, ...]
    score: float
    iou: float
    counts: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields with the counts as lists of rows."""
        return {"classes": self.classes, "score": self.score, "iou": self.iou, "counts": self.counts.tolist()}


def confusion(
    annotations: Annotations, predictions: Sequence[Prediction], score: float = 0.5, iou: float = 0.5
) -> Confusion:
    """Match detections with at least ``score`` to boxes of any class, one box each, at an IoU of ``iou`` or more.

    In each image the detections choose in the order of their scores, each the unmatched box that it overlaps most. One
    on a difficult box or a crowd of its own class takes no box of another class. predictions: one for each image in the
    order of the annotations (``align`` returns them so). Raises ValueError where the lengths differ.
    """
    require_aligned(annotations, predictions)
    columns = as_is(annotations, predictions)
    columns = with_detections(columns, columns.detections.scores >= score)
    rules = replace(COCO_AP50, ious=(iou,))
    ignore = columns.ground_truth.ignore
    columns = with_detections(columns, assign(columns, ignore[:, None], rules)[:, 0, 0] != IGNORED)
    merged = class_agnostic(columns, ~ignore)
    outcome = assign(merged.columns, np.zeros((len(merged.gt_index), 1), bool), rules)[:, 0, 0]
    matched = matched_objects(merged.columns, outcome, rules)
    matched_detections = np.flatnonzero(matched >= 0)
    gt_index = merged.gt_index[matched[matched_detections]]
    gt_labels, det_labels = (
        labels_of(columns, columns.ground_truth.groups),
        labels_of(columns, columns.detections.groups),
    )
    missed = ~ignore
    missed[gt_index] = False
    wrong = merged.det_index[outcome == FALSE_POSITIVE]
    num_labels = columns.num_classes + 1
    counts = np.zeros((num_labels, num_labels), np.int64)
    np.add.at(counts, (gt_labels[gt_index], det_labels[merged.det_index[matched_detections]]), 1)
    counts[0] = np.bincount(det_labels[wrong], minlength=num_labels)
    counts[:, 0] = np.bincount(gt_labels[missed], minlength=num_labels)
    return Confusion(annotations.classes, score, iou, counts)
