"""COCO's twelve numbers and the AP of each class, by pycocotools (cocodataset.org/#detection-eval).

Annotation ids are numbered anew from 1: pycocotools takes id 0 for "unmatched". Category ids stay as the data has them.
A difficult object counts as a crowd: it need not be found, and finding it costs nothing. That is what VOC means by it
and what mmdetection's conversion of VOC to COCO writes; pycocotools overwrites an ``ignore`` flag by ``iscrowd``, so no
other mark would do.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detect.evaluation.predictions import Prediction, require_fit

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@dataclass(frozen=True)
class CocoResult:
    """Fractions in 0..1, None where there is no ground truth.

    numbers: the twelve, by the names in NUMBERS; per_class: AP over the IoUs 0.50 to 0.95.
    """

    numbers: dict[str, float | None]
    per_class: dict[str, float | None]


def evaluate_coco(annotations: Annotations, predictions: Sequence[Prediction]) -> CocoResult:
    """Score predictions, one a photo in the annotations' order (``align`` makes them so).

    ValueError where the lengths differ. Equal scores rank in the order of image ids, then of the results.
    """
    require_fit(annotations, predictions)
    return evaluate_coco_json(_dataset(annotations), _results(annotations, predictions))


def evaluate_coco_json(dataset: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> CocoResult:
    """Score a COCO results list on a COCO data set as their files hold them; neither is changed.

    dataset: ``images``, ``categories`` and ``annotations``, whose ``iscrowd`` may be missing (0) and ``area`` too
    (width times height); results: ``image_id``, ``category_id``, ``bbox`` [x, y, width, height] and ``score``.
    """
    truth = [
        {"iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3], **row, "id": place}
        for place, row in enumerate(dataset["annotations"], 1)
    ]
    found = [
        {**row, "iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3], "id": place}
        for place, row in enumerate(results, 1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        scorer = COCOeval(_indexed(dataset, truth), _indexed(dataset, found), "bbox")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    names = {row["id"]: row["name"] for row in dataset["categories"]}
    precision = scorer.eval["precision"]  # (IoU, recall, class, area range, number of detections)
    ap = {names[category]: _mean(precision[:, :, k, 0, -1]) for k, category in enumerate(scorer.params.catIds)}
    return CocoResult(
        numbers={
            name: None if value == -1 else float(value) for name, value in zip(NUMBERS, scorer.stats, strict=True)
        },
        per_class={row["name"]: ap[row["name"]] for row in dataset["categories"]},
    )


def _mean(values: np.ndarray) -> float | None:
    """The mean of what pycocotools could measure (-1 marks the rest)."""
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _indexed(dataset: Mapping[str, Any], rows: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": dataset["images"], "categories": dataset["categories"], "annotations": rows}
    coco.createIndex()
    return coco


def _dataset(annotations: Annotations) -> dict[str, Any]:
    """The annotations in COCO's form."""
    images = np.repeat(annotations.image_ids, np.diff(annotations.offsets))
    categories = annotations.category_ids[annotations.labels - 1]
    columns = (
        images,
        categories,
        _xywh(annotations.boxes),
        annotations.areas,
        annotations.crowd | annotations.difficult,
    )
    return {
        "images": [{"id": image_id} for image_id in annotations.image_ids.tolist()],
        "categories": [
            {"id": category, "name": name}
            for category, name in zip(annotations.category_ids.tolist(), annotations.classes, strict=True)
        ],
        "annotations": [
            {"image_id": image, "category_id": category, "bbox": box, "area": area, "iscrowd": int(crowd)}
            for image, category, box, area, crowd in zip(*(column.tolist() for column in columns), strict=True)
        ],
    }


def _results(annotations: Annotations, predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The predictions in COCO's form."""
    return [
        {"image_id": image_id, "category_id": category, "bbox": box, "score": score}
        for image_id, prediction in zip(annotations.image_ids.tolist(), predictions, strict=True)
        for category, box, score in zip(
            annotations.category_ids[prediction.labels - 1].tolist(),
            _xywh(prediction.boxes).tolist(),
            prediction.scores.tolist(),
            strict=True,
        )
    ]


def _xywh(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
