"""The cost of each error type: how much AP at IoU 0.5 would rise without it (dAP; Bolya et al. 2020, section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from detect.evaluation.analysis.error_types import KINDS, MISSED, TIDE, Errors
from detect.evaluation.analysis.matches import labels_of
from detect.evaluation.assignment import IGNORED, TRUE_POSITIVE
from detect.evaluation.columns import BoolArray, FloatArray, IntArray
from detect.evaluation.voc import Curve, average_precision, mean


@dataclass(frozen=True)
class ErrorCosts:
    """The costs as fractions in 0..1, None where there is no ground truth.

    mAP: at IoU 0.5 as TIDE computes it, with 101 recalls; kinds: by how much it rises when all errors of a kind are
    fixed, by the names in KINDS; false_positives: when every false positive ranks below every true positive;
    false_negatives: when the objects that were not found do not count; counts: as in Errors; per_class: the rise of the
    AP of each class by kind. (A dog detected as a cat lowers the AP of both.)
    """

    mAP: float | None  # noqa: N815  the field's own spelling
    dap_by_type: dict[str, float | None]
    false_positives: float | None
    false_negatives: float | None
    counts: dict[str, int]
    per_class: dict[str, dict[str, float | None]]

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def error_costs(errors: Errors) -> ErrorCosts:
    """Return the gain of AP when the errors of one kind at a time are fixed.

    Of the detections of the kind, the correctable ones become true positives and the others are removed. A missed
    object is fixed by not counting it.
    """
    classes = errors.classes
    baseline = _baseline(errors)
    before = baseline.aps(classes)
    by_kind = {
        kind: _gains(before, _with_fixed(errors, index, baseline).aps(classes)) for index, kind in enumerate(KINDS)
    }
    ranked = replace(baseline, scores=baseline.true.astype(np.float64))
    found_labels = baseline.labels[baseline.true]
    all_found = replace(baseline, positives=np.bincount(found_labels - 1, minlength=len(classes)))
    return ErrorCosts(
        mAP=mean(list(before.values())),
        dap_by_type={kind: mean(list(gains.values())) for kind, gains in by_kind.items()},
        false_positives=mean(list(_gains(before, ranked.aps(classes)).values())),
        false_negatives=mean(list(_gains(before, all_found.aps(classes)).values())),
        counts=errors.counts,
        per_class={name: {kind: by_kind[kind][name] for kind in KINDS} for name in classes},
    )


@dataclass(frozen=True)
class _Detections:
    """The input of AP: labels (D,) in 1..K; scores (D,); true (D,); positives (K,), the objects that count."""

    labels: IntArray
    scores: FloatArray
    true: BoolArray
    positives: IntArray

    def aps(self, classes: Sequence[str]) -> dict[str, float | None]:
        """Return AP by class, None where there is no ground truth."""
        order = np.lexsort((-self.scores, self.labels))
        edges = np.searchsorted(self.labels[order], np.arange(1, len(classes) + 2))
        aps = {}
        for k, name in enumerate(classes):
            rows = order[edges[k] : edges[k + 1]]
            hits, positives = np.cumsum(self.true[rows]), int(self.positives[k])
            curve = Curve(self.scores[rows], hits / max(positives, 1), hits / np.arange(1, len(hits) + 1), positives)
            aps[name] = average_precision(curve, TIDE.recall_grid)
        return aps


def _baseline(errors: Errors) -> _Detections:
    """Return the detections without any error fixed."""
    columns = errors.columns
    detections, ground_truth = columns.detections, columns.ground_truth
    det_labels, gt_labels = labels_of(columns, detections.groups), labels_of(columns, ground_truth.groups)
    counted = errors.outcome != IGNORED
    positives = np.bincount(gt_labels[~ground_truth.ignore] - 1, minlength=len(errors.classes))
    true = errors.outcome[counted] == TRUE_POSITIVE
    return _Detections(det_labels[counted], detections.scores[counted], true, positives)


def _with_fixed(errors: Errors, kind: int, baseline: _Detections) -> _Detections:
    """Return the detections with the errors of a kind fixed."""
    columns = errors.columns
    gt_labels = labels_of(columns, columns.ground_truth.groups)
    if kind == MISSED:
        missed = np.bincount(gt_labels[errors.missed] - 1, minlength=len(errors.classes))
        return replace(baseline, positives=baseline.positives - missed)
    fixed = (errors.kinds == kind) & errors.correctable
    keep = fixed | ((errors.outcome != IGNORED) & (errors.kinds != kind))
    labels = labels_of(columns, columns.detections.groups)
    labels[fixed] = gt_labels[errors.about_object[fixed]]
    true = fixed | (errors.outcome == TRUE_POSITIVE)
    return _Detections(labels[keep], columns.detections.scores[keep], true[keep], baseline.positives)


def _gains(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the gain by class; 0 where a class that never found anything has no object left that counts."""
    return {name: None if ap is None else max((after[name] or 0.0) - ap, 0.0) for name, ap in before.items()}
