"""The objects of annotated images, and the object that each detection matches by the rules of the model's metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detect.config.builders.data import default_metric, read_split_for_model
from detect.config.builders.resolve import SplitKey
from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.formats.coco import read_coco
from detect.evaluation.analysis.matches import METRIC_RULES, match, matched_objects
from detect.evaluation.assignment import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detect.evaluation.columns import rank_in_group
from detect.evaluation.predictions import Prediction
from detect.evaluation.score import Metric
from detect.inference.predictor import Predictor

OUTCOMES = {TRUE_POSITIVE: "found", FALSE_POSITIVE: "found nothing", IGNORED: "not counted: difficult or a crowd"}


@dataclass(frozen=True)
class ImageGroundTruth:
    """objects: the annotation of each annotated image, by its resolved path; metric: the metric whose rules match.

    notes: the lines on the split, and on what of its labels is not used.
    """

    objects: Mapping[Path, ImageAnnotation]
    metric: Metric
    notes: tuple[str, ...] = ()


def read_ground_truth(
    predictor: Predictor, images: Sequence[Path], annotations: Path | None, split: SplitKey | None
) -> ImageGroundTruth:
    """Return the ground truth of images by their path: of a split, or of a COCO file whose images match by name."""
    metric = default_metric(predictor.config)
    notes: tuple[str, ...] = ()
    if split is not None:
        annotations_of_images, notes = read_split_for_model(predictor.config, split, predictor.classes)
    elif annotations is not None:
        annotations_of_images = read_coco(
            annotations, sorted({image.absolute().parent for image in images}), predictor.classes
        )
    else:
        return ImageGroundTruth({}, metric)
    return ImageGroundTruth(
        {
            Path(annotations_of_images.file(index)).resolve(): annotations_of_images[index]
            for index in range(len(annotations_of_images))
        },
        metric,
        notes,
    )


def match_detections(
    objects: ImageAnnotation, prediction: Prediction, classes: tuple[str, ...], metric: Metric
) -> list[dict[str, Any]]:
    """Return the match of each detection of an image, in their order.

    A match has the ``outcome``, and the ``box`` (in the image's pixels) and the number of the ``object`` (from 1) that
    the detection is matched to; both are None where there is none, or the metric does not count the detection.
    """
    rules = METRIC_RULES[metric]
    matches = match(Annotations.from_images([objects], classes), [prediction], rules)
    outcome = matches.outcome[:, 0]
    object_rows = matched_objects(matches.columns, outcome, rules)
    order = np.lexsort((-prediction.scores, prediction.labels))  # the order of evaluation.columns within an image
    counted = order if rules.limit is None else order[rank_in_group(prediction.labels[order]) < rules.limit]
    rows = np.argsort(objects.labels, kind="stable")
    not_counted = {"outcome": "not counted: too many of a class", "object": None, "box": None}
    matched: list[dict[str, Any]] = [not_counted] * len(prediction)
    for index, kind, object_row in zip(counted.tolist(), outcome.tolist(), object_rows.tolist(), strict=True):
        row = int(rows[object_row])
        matched[index] = {
            "outcome": OUTCOMES[kind],
            "object": None if object_row < 0 else row + 1,
            "box": None if object_row < 0 else objects.boxes[row].tolist(),
        }
    return matched
