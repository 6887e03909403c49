"""What each kind of error costs: how much AP at IoU 0.5 would rise without it (dAP; Bolya et al. 2020, section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from detect.evaluation.analysis.error_types import KINDS, MISSED, TIDE, Errors
from detect.evaluation.analysis.matches import labels_of
from detect.evaluation.assignment import NEUTRAL, TRUE
from detect.evaluation.columns import Flags, Floats, Places
from detect.evaluation.voc import Curve, average_precision, mean


@dataclass(frozen=True)
class ErrorCosts:
    """Fractions in 0..1, None where there is no ground truth.

    mAP: at IoU 0.5, as TIDE takes it: 101 recalls; kinds: by how much it rises where all errors of a kind are mended,
    by the names in KINDS; false_positives: where every false detection ranks below every true one; false_negatives:
    where everything that was not found need not be; counts: as in Errors; per_class: the rise of each class's AP by
    kind. (To call a dog a cat lowers the AP of both.)
    """

    mAP: float | None  # noqa: N815  the field's own spelling
    kinds: dict[str, float | None]
    false_positives: float | None
    false_negatives: float | None
    counts: dict[str, int]
    per_class: dict[str, dict[str, float | None]]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def error_costs(errors: Errors) -> ErrorCosts:
    """Mend one kind at a time: of its detections those that are correctable become true, the others vanish.

    A missed object that is mended no longer counts as one to find.
    """
    classes = errors.classes
    now = _as_it_is(errors)
    before = now.aps(classes)
    by_kind = {kind: _rises(before, _mended(errors, place, now).aps(classes)) for place, kind in enumerate(KINDS)}
    ranked = replace(now, scores=now.true.astype(np.float64))
    all_found = replace(now, positives=np.bincount(now.labels[now.true] - 1, minlength=len(classes)))
    return ErrorCosts(
        mAP=mean(list(before.values())),
        kinds={kind: mean(list(rises.values())) for kind, rises in by_kind.items()},
        false_positives=mean(list(_rises(before, ranked.aps(classes)).values())),
        false_negatives=mean(list(_rises(before, all_found.aps(classes)).values())),
        counts=errors.counts,
        per_class={name: {kind: by_kind[kind][name] for kind in KINDS} for name in classes},
    )


@dataclass(frozen=True)
class _Detections:
    """What AP is made of: labels (D,) in 1..K; scores (D,); true (D,); positives (K,), the objects to find."""

    labels: Places
    scores: Floats
    true: Flags
    positives: Places

    def aps(self, classes: Sequence[str]) -> dict[str, float | None]:
        """AP by class, None where there is nothing to find."""
        order = np.lexsort((-self.scores, self.labels))
        edges = np.searchsorted(self.labels[order], np.arange(1, len(classes) + 2))
        aps = {}
        for k, name in enumerate(classes):
            rows = order[edges[k] : edges[k + 1]]
            hits, positives = np.cumsum(self.true[rows]), int(self.positives[k])
            curve = Curve(self.scores[rows], hits / max(positives, 1), hits / np.arange(1, len(hits) + 1), positives)
            aps[name] = average_precision(curve, TIDE.recall_grid)
        return aps


def _as_it_is(errors: Errors) -> _Detections:
    case = errors.case
    labels, boxes = labels_of(case, case.found.groups), labels_of(case, case.truth.groups)
    counted = errors.outcome != NEUTRAL
    positives = np.bincount(boxes[~case.truth.lenient] - 1, minlength=len(errors.classes))
    return _Detections(labels[counted], case.found.scores[counted], errors.outcome[counted] == TRUE, positives)


def _mended(errors: Errors, kind: int, now: _Detections) -> _Detections:
    """Without the errors of a kind."""
    case = errors.case
    boxes = labels_of(case, case.truth.groups)
    if kind == MISSED:
        missed = np.bincount(boxes[errors.missed] - 1, minlength=len(errors.classes))
        return replace(now, positives=now.positives - missed)
    mended = (errors.kinds == kind) & errors.correctable
    kept = mended | ((errors.outcome != NEUTRAL) & (errors.kinds != kind))
    labels = labels_of(case, case.found.groups)
    labels[mended] = boxes[errors.meant[mended]]
    true = mended | (errors.outcome == TRUE)
    return _Detections(labels[kept], case.found.scores[kept], true[kept], now.positives)


def _rises(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> dict[str, float | None]:
    """By class; nothing gained where a class that never found anything has nothing left to find."""
    return {name: None if ap is None else max((after[name] or 0.0) - ap, 0.0) for name, ap in before.items()}
