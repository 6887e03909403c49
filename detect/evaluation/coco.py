"""COCO's twelve metrics and the AP of each class (cocodataset.org/#detection-eval), equal to those of pycocotools.

A difficult object counts as a crowd: it need not be found, and a detection of it does not count. That is what VOC means
by it and what mmdetection's conversion of VOC to COCO writes. pycocotools overwrites an ``ignore`` flag by ``iscrowd``,
so that no other flag would work.

Annotation ids play no role. pycocotools stores the id of the box that a detection matched and reads 0 as "none", so
that a box with the id 0 is never found; of boxes with one id it reads only the last, once for each. Its metrics equal
these once the ids of a file are counted from 1; ``coco_json.id_warning`` says so where it matters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detect.errors import UserError, did_you_mean
from detect.evaluation.coco_tables import AREAS, CocoTables, tabulate
from detect.evaluation.columns import (
    EvalColumns,
    FloatArray,
    GroundTruthColumns,
    as_coco_files,
    boxes_from_xywh,
    make_columns,
)
from detect.evaluation.mask_columns import mask_columns, mask_fault
from detect.evaluation.predictions import Prediction, require_aligned
from detect.evaluation.rules import COCO_IOUS

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

MAX_DETECTIONS = (1, 10, 100)
METRIC_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@dataclass(frozen=True)
class CocoResult:
    """COCO's metrics: fractions in 0..1, None where there is no ground truth.

    metrics: the twelve, by the names in METRIC_NAMES; per_class: AP over the IoUs 0.50 to 0.95, by class name, with the
    category's id where several have one name, as in ``fish (id 3)``.
    """

    metrics: dict[str, float | None]
    per_class: dict[str, float | None]


def evaluate_coco(
    annotations: Annotations, predictions: Sequence[Prediction], limits: Sequence[int] = MAX_DETECTIONS
) -> CocoResult:
    """Score predictions, one for each image in the order of the annotations (``align`` returns them so).

    limits (pycocotools' maxDets): how many detections of a class in an image count. Recall is reported for each limit,
    as AR1, AR10, ...; all other metrics use the largest limit. (pycocotools' summary always takes 100 for AP and the
    third limit for the rest.) Detections with equal scores rank in the order of image ids, then of the results. Raises
    ValueError where the lengths differ or a limit is not positive.

    Memory in addition to the data: 160 MiB for 500,000 detections in 5,000 images.
    """
    require_aligned(annotations, predictions)
    labels = label_categories(zip(annotations.category_ids.tolist(), annotations.classes, strict=True))
    class_index = {label: k for k, label in enumerate(labels)}
    return _score(as_coco_files(annotations, predictions), class_index, limits)


def evaluate_coco_masks(
    annotations: Annotations, predictions: Sequence[Prediction], limits: Sequence[int] = MAX_DETECTIONS
) -> CocoResult:
    """Score the masks of predictions as ``evaluate_coco`` scores their boxes: COCO's metrics of ``segm``.

    Raises ValueError where an object or a detection has no mask (``mask_columns.mask_fault``).
    """
    require_aligned(annotations, predictions)
    fault = mask_fault(annotations, predictions)
    if fault is not None:
        raise ValueError(f"expected masks, but {fault}")
    labels = label_categories(zip(annotations.category_ids.tolist(), annotations.classes, strict=True))
    class_index = {label: k for k, label in enumerate(labels)}
    return _score(mask_columns(annotations, predictions), class_index, limits)


def evaluate_coco_json(
    dataset: Mapping[str, Any], results: Sequence[Mapping[str, Any]], limits: Sequence[int] = MAX_DETECTIONS
) -> CocoResult:
    """Score a COCO results list on a COCO data set as their files hold them; neither is changed.

    dataset: ``images``, ``categories`` and ``annotations``, whose ``iscrowd`` may be missing or null (0) and ``area``
    too (width times height); results: ``image_id``, ``category_id``, ``bbox`` [x, y, width, height] and ``score``. Rows
    of images or categories that the data set does not list are left out. limits as in ``evaluate_coco``. Raises
    UserError where a list of the data set or a key of a row is missing.
    """
    _require_keys(dataset, results)
    images = _ranks(row["id"] for row in dataset["images"])
    categories = _ranks(row["id"] for row in dataset["categories"])
    objects, object_groups = _listed_rows(dataset["annotations"], images, categories)
    detections, detection_groups = _listed_rows(results, images, categories)
    boxes = boxes_from_xywh(_bboxes(objects))
    ground_truth = GroundTruthColumns(
        groups=object_groups,
        boxes=boxes,
        areas=np.array([_area(row, area) for row, area in zip(objects, boxes.areas, strict=True)], np.float64),
        ignore=np.array([bool(row.get("iscrowd", 0)) for row in objects], bool),
    )
    scores = np.array([row["score"] for row in detections], np.float64)
    detection_boxes = boxes_from_xywh(_bboxes(detections))
    columns = make_columns(len(images), len(categories), ground_truth, detection_groups, detection_boxes, scores)
    listed = dict.fromkeys((row["id"], row["name"]) for row in dataset["categories"])
    labels = zip(listed, label_categories(listed), strict=True)
    return _score(columns, {label: categories[category] for (category, _), label in labels}, limits)


def label_categories(categories: Iterable[tuple[int, str]]) -> list[str]:
    """Return a label for each category (its id and its name), no two of them equal where no two categories are.

    It is the name, with the id behind it where several have that name: 1 fish, 2 crab, 3 fish -> ``fish (id 1)``,
    ``crab``, ``fish (id 3)``. Where that is the name of another category, all of them get their id.
    """
    pairs = list(categories)
    counts = Counter(name for _, name in pairs)
    labels = [name if counts[name] == 1 else f"{name} (id {category})" for category, name in pairs]
    return labels if len(set(labels)) == len(labels) else [f"{name} (id {category})" for category, name in pairs]


def _require_keys(dataset: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError where a key that ``evaluate_coco_json`` reads is missing."""
    keys = {"images": {"id"}, "categories": {"id", "name"}, "annotations": {"image_id", "category_id", "bbox"}}
    for name in keys:
        if name not in dataset:
            raise UserError(f'dataset: expected "{name}", found nothing{did_you_mean(name, dataset)}')
    lists = [(name, dataset[name], keys[name]) for name in keys]
    for name, rows, row_keys in [*lists, ("results", results, keys["annotations"] | {"score"})]:
        for index, row in enumerate(rows, 1):
            if not row_keys <= row.keys():
                key = min(row_keys - row.keys())
                raise UserError(f'{name}: row {index}: expected "{key}", found nothing{did_you_mean(key, row)}')


def _area(row: Mapping[str, Any], box_area: float) -> float:
    """Return the area of an annotation; that of its box where it has none or null."""
    area: float | None = row.get("area")
    return box_area if area is None else area


def _score(columns: EvalColumns, class_index: Mapping[str, int], limits: Sequence[int]) -> CocoResult:
    """Score columns; class_index: the index of the class behind each label of ``per_class``."""
    if not limits or min(limits) < 1:
        raise ValueError(f"limits: expected numbers of 1 or more, found {tuple(limits)}")
    ascending = sorted(set(limits))
    tables = tabulate(columns, ascending)
    per_class = {label: _mean(tables.precision[k, 0]) for label, k in class_index.items()}
    return CocoResult(_metrics(tables, ascending), per_class)


def _metrics(tables: CocoTables, limits: Sequence[int]) -> dict[str, float | None]:
    """Return the summary, in the order of METRIC_NAMES."""
    precision, recall = tables.precision, tables.recall
    by_size = [(name[0], area) for area, name in enumerate(AREAS) if name != "all"]
    return {
        "AP": _mean(precision[:, 0]),
        "AP50": _mean(precision[:, 0, COCO_IOUS.index(0.5)]),
        "AP75": _mean(precision[:, 0, COCO_IOUS.index(0.75)]),
        **{f"AP{size}": _mean(precision[:, area]) for size, area in by_size},
        **{f"AR{limit}": _mean(recall[:, index, 0]) for index, limit in enumerate(limits)},
        **{f"AR{size}": _mean(recall[:, -1, area]) for size, area in by_size},
    }


def _mean(values: FloatArray) -> float | None:
    """Return the mean of the values that are not NaN, None where all are."""
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if valid.size else None


def _ranks(ids: Iterable[Any]) -> dict[Any, int]:
    """Return the rank of each id in ascending order; detections of equal score rank in this order of their images."""
    return {id_: rank for rank, id_ in enumerate(sorted(set(ids)))}


def _listed_rows(
    rows: Sequence[Mapping[str, Any]], images: Mapping[Any, int], categories: Mapping[Any, int]
) -> tuple[list[Mapping[str, Any]], np.ndarray]:
    """Return the rows of listed images and categories, and the group (see columns.py) of each."""
    listed = [row for row in rows if row["image_id"] in images and row["category_id"] in categories]
    groups = [categories[row["category_id"]] * len(images) + images[row["image_id"]] for row in listed]
    return listed, np.array(groups, np.int64)


def _bboxes(rows: Sequence[Mapping[str, Any]]) -> FloatArray:
    return np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
