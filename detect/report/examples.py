"""Selection of the images that best show the errors of a detector, and its successes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detect.evaluation.analysis.error_types import ERROR_TYPES, MISSED, TIDE, Errors
from detect.evaluation.analysis.image_counts import ImageCounts
from detect.evaluation.analysis.matches import images_of, labels_of, matched_objects
from detect.evaluation.assignment import FALSE_POSITIVE
from detect.evaluation.columns import BoolArray, FloatArray, IntArray, rank_in_group

WORST, BEST = "worst images", "best images"
_MAX_WHOLE_IMAGES = 12  # of each


@dataclass(frozen=True)
class GalleryExample:
    """An error, or a whole image, that is shown as an example.

    kind: of error, or WORST or BEST; image: its index in the data; label: the class of the error, 0 for a whole image;
    det_index and gt_index: the detection and the object that the error is about, rows of the errors' columns, -1 for
    none.
    """

    kind: str
    image: int
    label: int
    det_index: int = -1
    gt_index: int = -1


@dataclass(frozen=True)
class AtThresholds:
    """Errors with the detections of each class cut off at a threshold of the class.

    det_images (D,) and gt_images (G,): the image of each row, as index in the data; above_threshold (D,); matched (G,):
    by a detection that is at the threshold or above.
    """

    errors: Errors
    det_images: IntArray
    gt_images: IntArray
    above_threshold: BoolArray
    matched: BoolArray


def apply_thresholds(errors: Errors, thresholds: Mapping[str, float]) -> AtThresholds:
    """Cut off the detections at the thresholds: the lowest score that stays, by class name."""
    columns = errors.columns
    groups, gt_groups = columns.detections.groups, columns.ground_truth.groups
    min_scores = np.array([thresholds[name] for name in errors.classes])
    above_threshold = columns.detections.scores >= min_scores[labels_of(columns, groups) - 1]
    boxes = matched_objects(columns, errors.outcome, TIDE)[above_threshold]
    matched = np.zeros(len(gt_groups), bool)
    matched[boxes[boxes >= 0]] = True
    det_images, gt_images = (errors.images[images_of(columns, rows)] for rows in (groups, gt_groups))
    return AtThresholds(errors, det_images, gt_images, above_threshold, matched)


def counts_at_thresholds(at: AtThresholds) -> ImageCounts:
    """Return the numbers of true positives, false positives and missed objects of each image (N,)."""
    num_images = len(at.errors.images)
    false = at.above_threshold & (at.errors.outcome == FALSE_POSITIVE)
    missed = ~at.errors.columns.ground_truth.ignore & ~at.matched
    rows = at.gt_images[at.matched], at.det_images[false], at.gt_images[missed]
    return ImageCounts(*(np.bincount(images, minlength=num_images) for images in rows))


def whole_images(at: AtThresholds) -> list[GalleryExample]:
    """Return the images with most errors, and of those without errors the images with most true positives."""
    counts = counts_at_thresholds(at)
    errors, true = counts.errors, counts.true_positives
    worst = [image for image in np.argsort(-errors, kind="stable").tolist() if errors[image]]
    best = [image for image in np.argsort(-true, kind="stable").tolist() if true[image] and not errors[image]]
    selected = ((WORST, worst[:_MAX_WHOLE_IMAGES]), (BEST, best[:_MAX_WHOLE_IMAGES]))
    return [GalleryExample(kind, image, 0) for kind, images in selected for image in images]


def error_examples(at: AtThresholds, max_examples: int) -> list[GalleryExample]:
    """Return at most ``max_examples`` errors in an order in which kinds, and the classes of a kind, alternate.

    The first n show each kind equally often: first the best-scored error of every class, then the second of every
    class. Missed objects are ordered by area, the largest first.

    False positives below the threshold of their class (or 0.5, if that is lower) are left out: a user would not see
    them.
    """
    errors, columns = at.errors, at.errors.columns
    scores = columns.detections.scores
    false = np.flatnonzero((errors.outcome == FALSE_POSITIVE) & (at.above_threshold | (scores >= 0.5)))
    missed = np.flatnonzero(errors.missed)
    kinds = np.concatenate([errors.error_types[false], np.full(len(missed), MISSED)])
    det_labels = labels_of(columns, columns.detections.groups[false])
    gt_labels = labels_of(columns, columns.ground_truth.groups[missed])
    labels = np.concatenate([det_labels, gt_labels]).astype(np.int64)
    weight = np.concatenate([scores[false], columns.ground_truth.areas[missed]])
    class_rounds = _round_robin(kinds * (len(errors.classes) + 1) + labels, weight, np.zeros(len(weight)))
    order = np.lexsort((kinds, _round_robin(kinds, weight, class_rounds)))[:max_examples]
    rows = np.concatenate([false, missed])[order].tolist()
    examples = []
    for index, row in zip(order.tolist(), rows, strict=True):
        kind, label = ERROR_TYPES[kinds[index]], int(labels[index])
        if index < len(false):
            examples.append(GalleryExample(kind, int(at.det_images[row]), label, row, int(errors.about_object[row])))
        else:
            examples.append(GalleryExample(kind, int(at.gt_images[row]), label, gt_index=row))
    return examples


def _round_robin(groups: IntArray, weight: FloatArray, before: FloatArray | IntArray) -> IntArray:
    """Return the rank of each row in its group, from 0: ascending in ``before``, then the largest weight first.

    groups, weight, before (N,) -> (N,).
    """
    order = np.lexsort((-weight, before, groups))
    ranks = np.zeros(len(groups), np.int64)
    ranks[order] = rank_in_group(groups[order])
    return ranks
