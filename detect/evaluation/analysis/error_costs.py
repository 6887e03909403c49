"""dAP of each error type: how much AP at IoU 0.5 would rise without its errors (Bolya et al. 2020, section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from detect.evaluation.analysis.error_types import ERROR_TYPES, MISSED, TIDE, Errors
from detect.evaluation.analysis.matches import labels_of
from detect.evaluation.assignment import IGNORED, TRUE_POSITIVE
from detect.evaluation.columns import BoolArray, FloatArray, IntArray
from detect.evaluation.voc import Curve, average_precision, mean


@dataclass(frozen=True)
class TIDEResult:
    """The AP and the dAPs as fractions in 0..1, None where there is no ground truth.

    mAP: at IoU 0.5 as TIDE computes it, at 101 recall thresholds; dap_by_type: how much it rises when all errors of a
    type are fixed, by the names in ERROR_TYPES; dap_false_positives: when every false positive ranks below every true
    positive; dap_false_negatives: when the objects that were not found do not count; counts: as in Errors; per_class:
    the rise of the AP of each class by error type. (A dog detected as a cat lowers the AP of both.)
    """

    mAP: float | None  # noqa: N815  the field's own spelling
    dap_by_type: dict[str, float | None]
    dap_false_positives: float | None
    dap_false_negatives: float | None
    counts: dict[str, int]
    per_class: dict[str, dict[str, float | None]]

    def to_dict(self) -> dict[str, Any]:
        """Return the record that scripts read."""
        return {
            "mAP": self.mAP,
            "kinds": self.dap_by_type,
            "false_positives": self.dap_false_positives,
            "false_negatives": self.dap_false_negatives,
            "counts": self.counts,
            "per_class": self.per_class,
        }


def compute_dap(errors: Errors) -> TIDEResult:
    """Return the gain of AP when the errors of one type at a time are fixed.

    Of the detections of the type, the correctable ones become true positives and the others are removed. A missed
    object is fixed by not counting it.
    """
    classes = errors.classes
    baseline = _baseline(errors)
    before = baseline.aps(classes)
    class_dap_by_type = {
        error_type: _dap(before, _with_fixed(errors, index, baseline).aps(classes))
        for index, error_type in enumerate(ERROR_TYPES)
    }
    ranked = replace(baseline, scores=baseline.is_true_positive.astype(np.float64))
    found_labels = baseline.labels[baseline.is_true_positive]
    all_found = replace(baseline, num_ground_truth=np.bincount(found_labels - 1, minlength=len(classes)))
    return TIDEResult(
        mAP=mean(list(before.values())),
        dap_by_type={error_type: mean(list(dap.values())) for error_type, dap in class_dap_by_type.items()},
        dap_false_positives=mean(list(_dap(before, ranked.aps(classes)).values())),
        dap_false_negatives=mean(list(_dap(before, all_found.aps(classes)).values())),
        counts=errors.counts,
        per_class={
            name: {error_type: class_dap_by_type[error_type][name] for error_type in ERROR_TYPES} for name in classes
        },
    )


@dataclass(frozen=True)
class _Detections:
    """The input of AP: labels (D,) in 1..K; scores (D,); is_true_positive (D,); num_ground_truth (K,), the number of
    objects that count.
    """

    labels: IntArray
    scores: FloatArray
    is_true_positive: BoolArray
    num_ground_truth: IntArray

    def aps(self, classes: Sequence[str]) -> dict[str, float | None]:
        """Return AP by class, None where there is no ground truth."""
        order = np.lexsort((-self.scores, self.labels))
        edges = np.searchsorted(self.labels[order], np.arange(1, len(classes) + 2))
        aps = {}
        for k, name in enumerate(classes):
            rows = order[edges[k] : edges[k + 1]]
            true_positives, num_objects = np.cumsum(self.is_true_positive[rows]), int(self.num_ground_truth[k])
            curve = Curve(
                self.scores[rows],
                true_positives / max(num_objects, 1),
                true_positives / np.arange(1, len(rows) + 1),
                num_objects,
            )
            aps[name] = average_precision(curve, TIDE.recall_grid)
        return aps


def _baseline(errors: Errors) -> _Detections:
    """Return the detections without any error fixed."""
    columns = errors.columns
    detections, ground_truth = columns.detections, columns.ground_truth
    det_labels, gt_labels = labels_of(columns, detections.groups), labels_of(columns, ground_truth.groups)
    counted = errors.outcome != IGNORED
    num_ground_truth = np.bincount(gt_labels[~ground_truth.ignore] - 1, minlength=len(errors.classes))
    is_true_positive = errors.outcome[counted] == TRUE_POSITIVE
    return _Detections(det_labels[counted], detections.scores[counted], is_true_positive, num_ground_truth)


def _with_fixed(errors: Errors, error_type: int, baseline: _Detections) -> _Detections:
    """Return the detections with the errors of a type fixed."""
    columns = errors.columns
    gt_labels = labels_of(columns, columns.ground_truth.groups)
    if error_type == MISSED:
        missed = np.bincount(gt_labels[errors.missed] - 1, minlength=len(errors.classes))
        return replace(baseline, num_ground_truth=baseline.num_ground_truth - missed)
    fixed = (errors.error_types == error_type) & errors.correctable
    keep = fixed | ((errors.outcome != IGNORED) & (errors.error_types != error_type))
    labels = labels_of(columns, columns.detections.groups)
    labels[fixed] = gt_labels[errors.about_object[fixed]]
    is_true_positive = fixed | (errors.outcome == TRUE_POSITIVE)
    return _Detections(labels[keep], columns.detections.scores[keep], is_true_positive[keep], baseline.num_ground_truth)


def _dap(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the gain by class; 0 for a class without any true positive that has no object left that counts."""
    return {name: None if ap is None else max((after[name] or 0.0) - ap, 0.0) for name, ap in before.items()}
