"""COCO's twelve numbers and the AP of each class (cocodataset.org/#detection-eval), equal to pycocotools' own.

A difficult object counts as a crowd: it need not be found, and finding it costs nothing. That is what VOC means by it
and what mmdetection's conversion of VOC to COCO writes; pycocotools overwrites an ``ignore`` flag by ``iscrowd``, so no
other mark would do.

Annotation ids play no role. pycocotools writes the id of the box that a detection took and reads 0 as "none", so that a
box with the id 0 is never found; its numbers are ours once the ids of a file are counted from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detect.evaluation.coco_tables import AREAS, CocoTables, tabulate
from detect.evaluation.columns import Case, Floats, Truth, as_coco_files, from_sides, make_case
from detect.evaluation.predictions import Prediction, require_fit
from detect.evaluation.rules import COCO_IOUS

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

LIMITS = (1, 10, 100)
NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@dataclass(frozen=True)
class CocoResult:
    """Fractions in 0..1, None where there is no ground truth.

    numbers: the twelve, by the names in NUMBERS; per_class: AP over the IoUs 0.50 to 0.95.
    """

    numbers: dict[str, float | None]
    per_class: dict[str, float | None]


def evaluate_coco(
    annotations: Annotations, predictions: Sequence[Prediction], limits: Sequence[int] = LIMITS
) -> CocoResult:
    """Score predictions, one an image in the annotations' order (``align`` makes them so).

    limits (pycocotools' maxDets): how many detections of a class in an image count. Recall is told for each, as AR1,
    AR10, ...; all other numbers are by the largest, where pycocotools' summary insists on 100 for AP and on the third
    for the rest. ValueError where the lengths differ or a limit is not positive. Equal scores rank in the order of
    image ids, then of the results.

    Memory beside the data: 160 MiB for 500,000 detections in 5,000 images.
    """
    require_fit(annotations, predictions)
    return _score(as_coco_files(annotations, predictions), annotations.classes, limits)


def evaluate_coco_json(
    dataset: Mapping[str, Any], results: Sequence[Mapping[str, Any]], limits: Sequence[int] = LIMITS
) -> CocoResult:
    """Score a COCO results list on a COCO data set as their files hold them; neither is changed.

    dataset: ``images``, ``categories`` and ``annotations``, whose ``iscrowd`` may be missing (0) and ``area`` too
    (width times height); results: ``image_id``, ``category_id``, ``bbox`` [x, y, width, height] and ``score``. Rows
    of images or categories that the data set does not list are left out. limits as in ``evaluate_coco``.
    """
    images = _places(row["id"] for row in dataset["images"])
    categories = _places(row["id"] for row in dataset["categories"])
    objects, object_groups = _known(dataset["annotations"], images, categories)
    found, found_groups = _known(results, images, categories)
    boxes = from_sides(_bboxes(objects))
    truth = Truth(
        groups=object_groups,
        boxes=boxes,
        areas=np.array([row.get("area", area) for row, area in zip(objects, boxes.areas, strict=True)], np.float64),
        lenient=np.array([bool(row.get("iscrowd", 0)) for row in objects], bool),
    )
    scores = np.array([row["score"] for row in found], np.float64)
    case = make_case(len(images), len(categories), truth, found_groups, from_sides(_bboxes(found)), scores)
    names = {row["id"]: row["name"] for row in dataset["categories"]}
    result = _score(case, [names[category] for category in categories], limits)
    return CocoResult(
        result.numbers, {row["name"]: result.per_class[names[row["id"]]] for row in dataset["categories"]}
    )


def _score(case: Case, classes: Sequence[str], limits: Sequence[int]) -> CocoResult:
    if not limits or min(limits) < 1:
        raise ValueError(f"limits: expected numbers of 1 or more, found {tuple(limits)}")
    ascending = sorted(set(limits))
    tables = tabulate(case, ascending)
    per_class = {name: _mean(tables.precision[k, 0]) for k, name in enumerate(classes)}
    return CocoResult(_numbers(tables, ascending), per_class)


def _numbers(tables: CocoTables, limits: Sequence[int]) -> dict[str, float | None]:
    """The summary, in the order of NUMBERS."""
    precision, recall = tables.precision, tables.recall
    by_size = [(name[0], place) for place, name in enumerate(AREAS) if name != "all"]
    return {
        "AP": _mean(precision[:, 0]),
        "AP50": _mean(precision[:, 0, COCO_IOUS.index(0.5)]),
        "AP75": _mean(precision[:, 0, COCO_IOUS.index(0.75)]),
        **{f"AP{size}": _mean(precision[:, area]) for size, area in by_size},
        **{f"AR{limit}": _mean(recall[:, place, 0]) for place, limit in enumerate(limits)},
        **{f"AR{size}": _mean(recall[:, -1, area]) for size, area in by_size},
    }


def _mean(values: Floats) -> float | None:
    """The mean of what can be measured."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _places(ids: Iterable[Any]) -> dict[Any, int]:
    """The rank of each id: images of equal score follow it."""
    return {key: place for place, key in enumerate(sorted(set(ids)))}


def _known(
    rows: Sequence[Mapping[str, Any]], images: Mapping[Any, int], categories: Mapping[Any, int]
) -> tuple[list[Mapping[str, Any]], np.ndarray]:
    """The rows of listed images and categories, and the group of each."""
    kept = [row for row in rows if row["image_id"] in images and row["category_id"] in categories]
    groups = [categories[row["category_id"]] * len(images) + images[row["image_id"]] for row in kept]
    return kept, np.array(groups, np.int64)


def _bboxes(rows: Sequence[Mapping[str, Any]]) -> Floats:
    return np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
