"""pycocotools by its own path: files as a COCO user would write them, loadRes, evaluate, accumulate, summarize."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detect.data.annotations import Annotations
from detect.evaluation.coco import MAX_DETECTIONS
from detect.evaluation.coco_tables import CocoTables
from detect.evaluation.predictions import Prediction
from tests.evaluation.example_data import CLASSES

Dataset = dict[str, Any]
Results = list[dict[str, Any]]


def coco_files(annotations: Annotations, predictions: Sequence[Prediction]) -> tuple[Dataset, Results]:
    """The data set and results; annotation ids from 0."""
    dataset: Dataset = {
        "images": [{"id": int(i)} for i in annotations.image_ids],
        "categories": [{"id": int(c), "name": n} for c, n in zip(annotations.category_ids, CLASSES, strict=True)],
        "annotations": [],
    }
    results = []
    for index, prediction in enumerate(predictions):
        image = annotations[index]
        for box, label, area, crowd, difficult in zip(
            image.boxes, image.labels, image.areas, image.crowd, image.difficult, strict=True
        ):
            x1, y1, x2, y2 = map(float, box)
            dataset["annotations"].append(
                {
                    "id": len(dataset["annotations"]),
                    "image_id": image.image_id,
                    "category_id": int(annotations.category_ids[label - 1]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(area),
                    "iscrowd": int(crowd or difficult),
                }
            )
        for (x1, y1, x2, y2), label, score in zip(
            prediction.boxes.tolist(), prediction.labels, prediction.scores.tolist(), strict=True
        ):
            category = int(annotations.category_ids[label - 1])
            row = {"image_id": image.image_id, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            results.append({**row, "score": score})
    return dataset, results


def run_coco_eval(
    dataset: Dataset,
    results: Results,
    limits: Sequence[int] = MAX_DETECTIONS,
    kind_of_coco: Any = COCO,
    kind_of_scorer: Any = COCOeval,
) -> Any:
    """A library's scorer after its three steps (the third only knows lists of three limits); ids counted from 1."""
    renumbered = {**dataset, "annotations": [{**row, "id": row["id"] + 1} for row in dataset["annotations"]]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _indexed(kind_of_coco(), renumbered)
        if results:
            found = truth.loadRes([dict(row) for row in results])
        else:  # loadRes refuses an empty list
            found = _indexed(kind_of_coco(), {**dataset, "annotations": []})
        scorer = kind_of_scorer(truth, found, "bbox")
        scorer.params.maxDets = list(limits)
        scorer.evaluate()
        scorer.accumulate()
        if len(limits) == 3:
            scorer.summarize()
    return scorer


def coco_tables_of(scorer: Any) -> CocoTables:
    """Its tables in our order: precision (K, A, T, R) at the largest limit, recall (K, L, A, T)."""
    precision, recall = scorer.eval["precision"], scorer.eval["recall"]
    precision = np.where(precision == -1, np.nan, precision)[..., -1].transpose(2, 3, 0, 1)
    return CocoTables(precision, np.where(recall == -1, np.nan, recall).transpose(1, 3, 2, 0))


def _indexed(coco: Any, dataset: Dataset) -> Any:
    coco.dataset = dataset
    coco.createIndex()
    return coco
