"""Computes the counts of a data set, and the recall of its anchors at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from detect.data.annotations import Annotations
from detect.data.inspect.anchor_advice import suggest_anchors
from detect.data.inspect.anchor_recall import best_anchor_iou, scale_objects
from detect.data.inspect.counts import QUANTILES, DatasetCounts, count_dataset
from detect.ops.anchors import AnchorGenerator
from detect.ops.preprocess import Preprocess

IOU_THRESHOLDS = (0.5, 0.7)


@dataclass(frozen=True)
class AnchorConfig:
    """The anchors of a configuration.

    strides: pixels between the cells of each feature map; allowed_border: pixels by which anchors may extend beyond the
    image, None for any number.
    """

    generator: AnchorGenerator
    strides: tuple[int, ...]
    allowed_border: float | None


@dataclass(frozen=True)
class AnchorRecall:
    """The fraction of objects, in 0..1, that have an anchor with an IoU of at least each of IOU_THRESHOLDS.

    min_size: the resolution; side: the median square root of the objects' areas, in pixels of the resized images;
    recall: of all objects; per_class (K, 2): of the objects of each class, NaN for a class without objects.
    """

    min_size: int
    side: float
    recall: tuple[float, float]
    per_class: np.ndarray


@dataclass(frozen=True)
class DatasetStatistics:
    """The counts and the anchor recall of a data set.

    anchor_recalls: of the configured anchors, for each resolution, empty if there are no objects; suggested: anchors
    for the resolution ``min_size``; recall_of_suggested: their recall. Both are None if there are no objects, and for a
    feature pyramid.
    """

    counts: DatasetCounts
    classes: tuple[str, ...]
    min_size: int
    anchor_recalls: tuple[AnchorRecall, ...]
    suggested: AnchorGenerator | None
    recall_of_suggested: AnchorRecall | None

    @property
    def suggested_settings(self) -> str:
        """Return the suggested anchors as command-line options; empty if there are none."""
        if self.suggested is None:
            return ""
        # No blanks after the commas, so that a shell takes each list for one word.
        sizes, ratios = (
            ",".join(f"{x:g}" for x in numbers) for numbers in (self.suggested.sizes[0], self.suggested.aspect_ratios)
        )
        min_size = f"--set data.min_size={self.min_size}"
        return f"{min_size} --set model.rpn.anchor_sizes=[{sizes}] --set model.rpn.aspect_ratios=[{ratios}]"

    def to_dict(self) -> dict[str, Any]:
        """Return all statistics as values that JSON can hold."""
        content = asdict(self.counts) | {"quantiles": QUANTILES, "overlaps": IOU_THRESHOLDS, "min_size": self.min_size}
        content |= {"reached": [self._recall_to_dict(recall) for recall in self.anchor_recalls], "advised": None}
        if self.suggested is not None and self.recall_of_suggested is not None:
            content["advised"] = {
                "sides": self.suggested.sizes[0],
                "ratios": self.suggested.aspect_ratios,
                "reached": self._recall_to_dict(self.recall_of_suggested),
                "settings": self.suggested_settings,
            }
        return content

    def _recall_to_dict(self, anchor_recall: AnchorRecall) -> dict[str, Any]:
        rows = [[None if np.isnan(recall) else recall for recall in row] for row in anchor_recall.per_class.tolist()]
        return {
            "min_size": anchor_recall.min_size,
            "side": anchor_recall.side,
            "shares": anchor_recall.recall,
            "per_class": dict(zip(self.classes, rows, strict=True)),
        }


def compute_statistics(
    annotations: Annotations,
    preprocess: Preprocess,
    min_sizes: Sequence[int],
    anchors: AnchorConfig,
    num_sizes_and_ratios: int,
) -> DatasetStatistics:
    """Return the statistics of a data set with at least one image.

    min_sizes: resolutions to measure in addition to that of ``preprocess``, for which anchors are suggested;
    num_sizes_and_ratios: the number of sizes and of aspect ratios to suggest.
    """
    counts = count_dataset(annotations)
    if counts.objects == counts.crowd:
        return DatasetStatistics(counts, annotations.classes, preprocess.min_size, (), None, None)
    recalls = tuple(
        measure_anchor_recall(annotations, replace(preprocess, min_size=min_size), anchors)
        for min_size in sorted({*min_sizes, preprocess.min_size})
    )
    if len(anchors.strides) > 1:
        return DatasetStatistics(counts, annotations.classes, preprocess.min_size, recalls, None, None)
    objects = scale_objects(annotations, preprocess)
    suggested = suggest_anchors(
        objects, anchors.generator, anchors.strides[0], anchors.allowed_border, num_sizes_and_ratios
    )
    recall_of_suggested = measure_anchor_recall(annotations, preprocess, replace(anchors, generator=suggested))
    return DatasetStatistics(counts, annotations.classes, preprocess.min_size, recalls, suggested, recall_of_suggested)


def measure_anchor_recall(annotations: Annotations, preprocess: Preprocess, anchors: AnchorConfig) -> AnchorRecall:
    """Return the recall of the anchors on a data set with objects."""
    objects = scale_objects(annotations, preprocess)
    best_iou = best_anchor_iou(objects, anchors.generator, anchors.strides, anchors.allowed_border)
    side = np.sqrt((objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(1))
    per_class = np.full((len(annotations.classes), len(IOU_THRESHOLDS)), np.nan)
    for index in range(len(annotations.classes)):
        class_iou = best_iou[objects.labels == index + 1]
        if len(class_iou):
            per_class[index] = [(class_iou >= threshold).mean() for threshold in IOU_THRESHOLDS]
    low, high = (float((best_iou >= threshold).mean()) for threshold in IOU_THRESHOLDS)
    return AnchorRecall(preprocess.min_size, float(np.median(side)), (low, high), per_class)
