"""Ranks the labels of a data set that a detector disagrees with: missing, misplaced, wrong or double objects.

The idea is that of confident learning for boxes (Tkachenko, Thyagarajan and Mueller 2023, "ObjectLab"): a detector that
was not trained on an image and is sure of something else than its labels is often right. A suspicion is in 0..1 and
orders all kinds in one list. It is no probability: it is high where the detector is confident and no other label or
detection explains the difference.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from detect.evaluation.columns import BoolArray, FloatArray
from detect.evaluation.overlap import fraction_inside
from detect.evaluation.overlap import iou as iou_matrix
from detect.evaluation.predictions import Prediction, require_aligned

if TYPE_CHECKING:
    from detect.data.annotations import Annotations, ImageAnnotation

SuspectKind = Literal["missing", "misplaced", "wrong-class", "double", "unconfirmed"]
SUSPECT_KINDS: tuple[SuspectKind, ...] = ("missing", "misplaced", "wrong-class", "double", "unconfirmed")

_MATCH_IOU = 0.5  # a detection confirms an object of its class from this IoU on
_SAME_PLACE_IOU = 0.6  # a detection of another class is about an object from this IoU on
_MIN_IOU = 0.1  # a detection of the class is about the object at all
_DOUBLE_IOU = 0.7  # two objects of one class are compared from this IoU on
_MIN_SCORE = 0.3  # of a detection that contradicts a label
_UNCONFIRMED_WEIGHT = 0.5  # detectors miss far more objects than people draw for nothing


@dataclass(frozen=True)
class LabelSuspect:
    """A label that a detector disagrees with, or an object that seems to have none.

    kind: one of SUSPECT_KINDS; suspicion in 0..1; image: its index in the annotations; object: the index of the object
    in its image, None for a missing one; box (4,) and label: those of the detection, or for double and unconfirmed
    objects those of the object; score: of the detection, 0 where there is none.
    """

    kind: SuspectKind
    suspicion: float
    image: int
    object: int | None
    box: FloatArray
    label: int
    score: float


def rank_label_suspects(
    annotations: Annotations,
    predictions: Sequence[Prediction],
    judged: Collection[int] | None = None,
    unreadable: Collection[int] = (),
) -> list[LabelSuspect]:
    """Return all suspects of a data set, the most suspicious first; an object is in the list once at most.

    predictions: one for each image, in order (see ``align``), with detections of low scores too; judged: the labels
    that the detector knows, None for all; unreadable: the indices of images to leave out. Crowds and objects of other
    labels are never suspects, but a detection on one of them is none either. Raises ValueError for other lengths.
    """
    require_aligned(annotations, predictions)
    labels = range(1, len(annotations.classes) + 1) if judged is None else judged
    seen = sorted(set(range(len(annotations))) - set(unreadable))
    comparisons = {index: _Comparison.of(annotations[index], predictions[index], labels) for index in seen}
    recall = _class_recall(len(annotations.classes), list(comparisons.values()))
    suspects = [suspect for index in seen for suspect in _image_suspects(index, comparisons[index], recall)]
    return sorted(suspects, key=lambda suspect: (-suspect.suspicion, suspect.image))


@dataclass(frozen=True)
class _Comparison:
    """The G objects of an image beside its D detections.

    judged (G,): whether the object can be a suspect; iou (G, D); same (G, D): whether object and detection have one
    class; support (G,): the best score of a detection that confirms the object, 0 without one; taken (D,): whether a
    detection confirms an object of its class.
    """

    annotation: ImageAnnotation
    prediction: Prediction
    judged: BoolArray
    iou: FloatArray
    same: BoolArray
    support: FloatArray
    taken: BoolArray

    @classmethod
    def of(cls, image: ImageAnnotation, prediction: Prediction, labels: Collection[int]) -> _Comparison:
        """Compare all objects of an image with all its detections; labels: those that are judged."""
        iou = iou_matrix(image.boxes, prediction.boxes)
        same = np.asarray(image.labels[:, None] == prediction.labels[None, :], bool)
        confirms = same & (iou >= _MATCH_IOU)
        support = np.where(confirms, prediction.scores[None, :], 0.0).max(1, initial=0.0)
        return cls(
            annotation=image,
            prediction=prediction,
            judged=~image.crowd & np.isin(image.labels, list(labels)),
            iou=iou,
            same=same,
            support=support,
            taken=np.asarray(confirms.any(0)),
        )


def _image_suspects(index: int, comparison: _Comparison, recall: FloatArray) -> list[LabelSuspect]:
    """Return the suspects of an image, each object once: the most suspicious way in which it may be wrong."""
    about_objects = [
        *_misplaced(index, comparison),
        *_wrong_class(index, comparison),
        *_double(index, comparison),
        *_unconfirmed(index, comparison, recall),
    ]
    best: dict[int | None, LabelSuspect] = {}
    for suspect in about_objects:
        if suspect.object not in best or suspect.suspicion > best[suspect.object].suspicion:
            best[suspect.object] = suspect
    return [*best.values(), *_missing(index, comparison)]


def _missing(index: int, comparison: _Comparison) -> list[LabelSuspect]:
    """Return the confident detections that no object overlaps.

    A detection inside a labelled object of its class is about a part of it, so the share of its area that lies there
    counts as overlap too. One that touches an object of its class that nothing confirms is about that object, which is
    then misplaced.
    """
    objects, detections = comparison.annotation, comparison.prediction
    inside = fraction_inside(objects.boxes, detections.boxes)
    inside_counts = comparison.same | ~comparison.judged[:, None]
    overlap = np.maximum(comparison.iou, np.where(inside_counts, inside, 0.0)).max(0, initial=0.0)
    unconfirmed = comparison.judged & (comparison.support == 0)
    about_misplaced = (comparison.same & unconfirmed[:, None] & (comparison.iou >= _MIN_IOU)).any(0)
    suspicion = np.where(about_misplaced, 0.0, detections.scores * np.clip(1 - overlap / _MATCH_IOU, 0, 1))
    return [
        _of_detection("missing", float(suspicion[d]), index, None, d, detections)
        for d in range(len(detections))
        if detections.scores[d] >= _MIN_SCORE and suspicion[d] > 0
    ]


def _misplaced(index: int, comparison: _Comparison) -> list[LabelSuspect]:
    """Return the objects that a free detection of their class overlaps too little; it is about its nearest one."""
    suspects = []
    nearest = np.where(comparison.same, comparison.iou, -1.0)
    for g in _candidates(comparison):
        scores = comparison.prediction.scores
        near = comparison.same[g] & ~comparison.taken & (comparison.iou[g] >= _MIN_IOU) & (scores >= _MIN_SCORE)
        near &= comparison.iou[g] >= nearest.max(0)
        if near.any():
            suspicion = np.where(near, (scores - comparison.support[g]) * (1 - comparison.iou[g]), 0.0)
            d = int(suspicion.argmax())
            suspects += _if_positive("misplaced", float(suspicion[d]), index, g, d, comparison)
    return suspects


def _wrong_class(index: int, comparison: _Comparison) -> list[LabelSuspect]:
    """Return the objects at whose position a free detection of another class is more confident."""
    suspects = []
    for g in _candidates(comparison):
        scores = comparison.prediction.scores
        other = ~comparison.same[g] & ~comparison.taken & (comparison.iou[g] >= _SAME_PLACE_IOU)
        other &= scores >= _MIN_SCORE
        if other.any():
            suspicion = np.where(other, (scores - comparison.support[g]) * comparison.iou[g], 0.0)
            d = int(suspicion.argmax())
            suspects += _if_positive("wrong-class", float(suspicion[d]), index, g, d, comparison)
    return suspects


def _double(index: int, comparison: _Comparison) -> list[LabelSuspect]:
    """Return the second of two objects of one class that coincide, if there are not as many detections as objects."""
    objects = comparison.annotation
    iou = iou_matrix(objects.boxes, objects.boxes)
    suspects = []
    for g in _candidates(comparison):
        earlier = [
            other
            for other in range(g)
            if objects.labels[other] == objects.labels[g] and not objects.crowd[other] and iou[g, other] >= _DOUBLE_IOU
        ]
        if earlier:
            about = comparison.same[g] & (comparison.iou[g] >= _MATCH_IOU)
            num_detections = int((about & (comparison.prediction.scores >= _MIN_SCORE)).sum())
            overlap = max(float(iou[g, other]) for other in earlier)
            suspicion = overlap if num_detections <= 1 else overlap / num_detections
            suspects.append(_of_object("double", suspicion, index, g, comparison))
    return suspects


def _unconfirmed(index: int, comparison: _Comparison, recall: FloatArray) -> list[LabelSuspect]:
    """Return the objects that no detection of their class overlaps. recall (K + 1,): of each label."""
    suspects = []
    for g in _candidates(comparison):
        about = comparison.same[g] & (comparison.iou[g] >= _MIN_IOU)
        if not about.any() and not comparison.annotation.difficult[g]:
            suspicion = _UNCONFIRMED_WEIGHT * float(recall[comparison.annotation.labels[g]])
            if suspicion > 0:
                suspects.append(_of_object("unconfirmed", suspicion, index, g, comparison))
    return suspects


def _class_recall(num_classes: int, comparisons: Sequence[_Comparison]) -> FloatArray:
    """Return (K + 1,): the fraction of the objects of each of K labels that a detection confirms."""
    labels = np.concatenate([np.zeros(0, np.int64), *(comparison.annotation.labels for comparison in comparisons)])
    confirmed = np.concatenate([np.zeros(0, bool), *(comparison.support > 0 for comparison in comparisons)])
    counts = np.bincount(labels, minlength=num_classes + 1)
    return np.bincount(labels, weights=confirmed, minlength=num_classes + 1) / np.maximum(counts, 1)


def _candidates(comparison: _Comparison) -> list[int]:
    """Return the indices of the objects that can be suspects."""
    candidates: list[int] = np.flatnonzero(comparison.judged).tolist()
    return candidates


def _if_positive(
    kind: SuspectKind, suspicion: float, index: int, g: int, d: int, comparison: _Comparison
) -> list[LabelSuspect]:
    return [_of_detection(kind, suspicion, index, g, d, comparison.prediction)] if suspicion > 0 else []


def _of_detection(
    kind: SuspectKind, suspicion: float, index: int, g: int | None, d: int, prediction: Prediction
) -> LabelSuspect:
    return LabelSuspect(
        kind=kind,
        suspicion=min(1.0, suspicion),
        image=index,
        object=g,
        box=prediction.boxes[d],
        label=int(prediction.labels[d]),
        score=float(prediction.scores[d]),
    )


def _of_object(kind: SuspectKind, suspicion: float, index: int, g: int, comparison: _Comparison) -> LabelSuspect:
    return LabelSuspect(
        kind=kind,
        suspicion=min(1.0, suspicion),
        image=index,
        object=g,
        box=comparison.annotation.boxes[g],
        label=int(comparison.annotation.labels[g]),
        score=0.0,
    )
